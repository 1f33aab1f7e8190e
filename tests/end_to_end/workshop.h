#pragma once

/// \file
/// A folder with a tiny model to be pretrained, pictures with captions, and the experiments that use them; and the program,
/// run as a person runs it.

#include "store/store.h"

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace peftlab::end_to_end {

/// How a command ended and what it said.
struct Said {
  int exit_code = 0;
  std::string out, err;
};

class Workshop {
 public:
  /// Makes everything below a fresh folder of this name in the tests' temporary folder.
  explicit Workshop(const std::string& name);

  std::filesystem::path folder;

  /// `peftlab ARGUMENTS...` in the folder, with its store there. `meanwhile` is called now and then while it works.
  Said peftlab(const std::vector<std::string>& arguments, const std::function<void()>& meanwhile = {}) const;
  store::Store store() const { return store::Store::open(folder / "peftlab.store", store::Mode::read_only); }
  void write(const std::string& file, const std::string& text) const;
};

/// The process id of a worker of `store` that has begun to train, 0 if there is none.
int training_worker(const std::filesystem::path& store);

}  // namespace peftlab::end_to_end
