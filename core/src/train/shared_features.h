#pragma once

/// \file
/// What a frozen part of a model makes of a split of data, kept in a folder for every run that would compute the same bits.
///
/// A file is named by the sha256 of a text that says all that its bits depend on, and holds that text, one tensor, and the
/// sha256 of the tensor's bytes. It is a cache and no more: what is missing, damaged, or other than what this process
/// computes itself is computed and put in its place, and where nothing can be written every run computes for itself.

#include <peftlab/model.h>
#include <peftlab/value.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace peftlab::train {

/// The most bytes of features that are kept, in memory or in a file, of one split.
inline constexpr int64_t kMostKept = int64_t{1} << 30;

/// Thrown where features were being computed and Work::stop said that the run is to stop. Nothing is kept of them.
struct Stopped {};

/// Features by what they are made from. Copies share what was opened.
class SharedFeatures {
 public:
  /// Without a folder: everything is computed, nothing kept.
  SharedFeatures() = default;

  /// `folder` is made when it is needed. `made_from` is asked once, when a name is needed: what bits depend on apart from
  /// what with() and of() are told. `tell` is given a line for whatever could not be used or written.
  SharedFeatures(std::filesystem::path folder, std::function<Table()> made_from,
                 std::function<void(const std::string&)> tell);

  /// Whether there is a folder.
  bool keeps() const { return folder_ != nullptr; }

  /// The same, their bits depending on this too.
  SharedFeatures with(const Table& more) const;

  /// How features are computed.
  struct Work {
    int64_t rows = 0;  ///< there are in all
    /// Some rows, the first: [some, ...] on the CPU. Always computed, but for what this process has opened already: what a
    /// file holds is used only if it begins with these bits, so that nothing that its name forgets can go unnoticed.
    std::function<torch::Tensor()> first;
    /// All of them, [rows, ...] on the CPU, of which the first are given.
    std::function<torch::Tensor(const torch::Tensor& first)> all;
    std::function<bool()> stop;  ///< asked while another process is waited for; may be empty
  };

  /// The features [rows, ...] of what with() was told and `own`: read, or computed and written. They lie on a mapped file
  /// and are not to be written to. Undefined if they would take more than kMostKept.
  /// Throws: Stopped; what `work` throws. Nothing else: files fail in silence but for `tell`.
  torch::Tensor of(const Table& own, const Work& work) const;

 private:
  struct Folder;

  std::shared_ptr<Folder> folder_;
  Table more_;
};

/// Numbers by their sha256, for a table that says what features are made from.
std::string sha256_of(const std::vector<int64_t>& numbers);

/// What the outputs of the maps below `prefix` depend on beside the weights in the model's folder: their types, how
/// methods keep them, and whether the model is training.
Table weights_in_force(const Model& model, const std::string& prefix);

}  // namespace peftlab::train
