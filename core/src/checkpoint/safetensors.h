#pragma once

/// \file
/// The safetensors format: an 8-byte little-endian length, that many bytes of JSON, then the tensors' bytes.
/// https://huggingface.co/docs/safetensors

#include <peftlab/model.h>
#include <peftlab/value.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace peftlab::checkpoint {

/// A file mapped into memory. Pages are read when touched and shared between processes until somebody writes to them;
/// what is written stays in this process (a private mapping).
///
/// Everything in the header is checked before a tensor is handed out: JSON, types, shapes, offsets without hole or
/// overlap that end with the file. Throws: FormatError naming file, tensor and what is wrong.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);

  /// Names in sorted order.
  std::vector<std::string> names() const;
  bool contains(const std::string& name) const { return entries_.count(name) > 0; }
  /// A tensor over the mapped bytes (copied only where they are not aligned for their type).
  torch::Tensor tensor(const std::string& name) const;
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  struct Mapping;
  struct Entry {
    torch::ScalarType type;
    std::vector<int64_t> shape;
    size_t begin, end;  // in the file
  };

  void read_entry(const std::string& name, const Value& value, size_t data_start);

  std::filesystem::path path_;
  std::shared_ptr<Mapping> mapping_;
  std::map<std::string, Entry> entries_;
  std::map<std::string, std::string> metadata_;
};

/// All tensors of a file.
TensorMap read_tensors(const std::filesystem::path& path);

/// Writes tensors sorted by name (of several types: the widest type first), the very bytes that Hugging Face's library
/// writes, so that equal tensors and metadata give equal bytes. Goes through a temporary file,
/// synced and renamed: no half-written file ever has the final name. Throws: FormatError with the system's reason.
void write_safetensors(const std::filesystem::path& path, const TensorMap& tensors,
                       const std::map<std::string, std::string>& metadata = {{"format", "pt"}});

}  // namespace peftlab::checkpoint
