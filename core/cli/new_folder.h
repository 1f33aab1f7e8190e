#pragma once

/// \file
/// Writing a folder that is either whole or not there.

#include <filesystem>
#include <string>

namespace peftlab::cli {

/// A folder that is filled under another name and gets its own when it is whole; gone if that never happens.
class NewFolder {
 public:
  /// Throws: ConfigError if the folder holds something already.
  explicit NewFolder(const std::string& name);
  ~NewFolder();
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;

  const std::filesystem::path& partial() const { return partial_; }
  void give_name() const { std::filesystem::rename(partial_, final_); }

 private:
  std::filesystem::path final_, partial_;
};

}  // namespace peftlab::cli
