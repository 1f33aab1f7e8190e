#include "new_folder.h"

#include <peftlab/error.h>

#include <fmt/format.h>

#include <unistd.h>

namespace peftlab::cli {

namespace fs = std::filesystem;

NewFolder::NewFolder(const std::string& name) : final_(fs::absolute(name).lexically_normal()) {
  if (!final_.has_filename()) final_ = final_.parent_path();  // "name/"
  std::error_code error;
  if (fs::exists(final_, error) && !(fs::is_directory(final_, error) && fs::is_empty(final_, error))) {
    throw ConfigError(fmt::format("{} is there already and not empty; nothing was written", name));
  }
  partial_ = final_;
  partial_ += fmt::format(".partial-{}", getpid());
}

NewFolder::~NewFolder() {
  std::error_code ignored;
  fs::remove_all(partial_, ignored);
}

}  // namespace peftlab::cli
