#pragma once

/// \file
/// An adapter as a folder, in the layout of the library that knows its method.

#include <peftlab/method.h>

#include <filesystem>
#include <string>
#include <vector>

namespace peftlab::checkpoint {

/// What an adapter folder holds, and what it was trained on where that is known.
struct AdapterFolder {
  AdapterFiles files;
  std::string sha256;       ///< of the file of tensors
  std::string base_sha256;  ///< from the file's metadata; empty if another library wrote it
};

/// Reads adapter_config.json, adapter_model.safetensors (or adapter.safetensors), peftlab_extra.safetensors, and the head
/// of a classifier where the library keeps it: peft among the adapter's tensors, `adapters` in model_head.safetensors.
/// Throws: FormatError naming the file; pickles are refused with the way to convert them.
AdapterFolder read_adapter(const std::filesystem::path& folder);

/// Writes them. `base_sha256` goes into the tensors' metadata. Returns the sha256 of adapter_model.safetensors.
std::string write_adapter(const std::filesystem::path& folder, const AdapterFiles& files,
                          const std::string& base_sha256);

/// The adapter folders that `folder` is made of: itself, or for a mixture one a method, in the order they are attached.
/// Throws: FormatError if the list of a mixture's methods cannot be read.
std::vector<std::filesystem::path> adapter_parts(const std::filesystem::path& folder);

/// Writes the list that makes `folder` a mixture: names of folders in it, in the order of attaching.
void write_adapter_parts(const std::filesystem::path& folder, const std::vector<std::string>& parts);

/// The name a method plugin answers to for this adapter: peft's `peft_type`, or for a folder that `adapters` wrote the
/// name of its configuration ("double_seq_bn" for Houlsby's).
std::string adapter_kind(const Table& config, const std::string& origin);

}  // namespace peftlab::checkpoint
