#pragma once

/// \file
/// What LoRA is told: its options, read and checked once.

#include <peftlab/params.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace peftlab::low_rank {

/// How A and B start.
constexpr const char* kKaiming = "kaiming";
constexpr const char* kGaussian = "gaussian";
constexpr const char* kPissa = "pissa";

struct Options {
  explicit Options(Params& p);

  /// s of an update of this rank and alpha.
  double scale(int64_t its_rank, double its_alpha) const;

  int64_t rank;
  double alpha, dropout;
  std::optional<std::vector<std::string>> targets, exclude;
  std::optional<std::vector<int64_t>> layers;
  std::optional<std::vector<std::string>> layers_pattern;
  Table rank_pattern, alpha_pattern;
  std::string bias, init;
  bool rslora, dora, frozen_half;
  double loraplus_ratio;
};

/// The number in a value that Options has checked to be one.
double number(const Value& value);

}  // namespace peftlab::low_rank
