#pragma once

/// \file
/// The family of exceptions. A message says what was found, what was wanted, and what there is.
///
/// All of them live in peftlab_api, so that one thrown inside a plugin is caught by its type in the host.

#include <peftlab/export.h>

#include <stdexcept>
#include <string>

namespace peftlab {

/// The base of everything peftlab throws on purpose.
class PEFTLAB_API Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
  ~Error() override;
};

/// What the user wrote is wrong: the command line or the experiment file (exit code 2).
class PEFTLAB_API ConfigError : public Error {
 public:
  using Error::Error;
  ~ConfigError() override;
};

/// An input file is missing, broken, or not the one its checksum names (exit code 3).
class PEFTLAB_API FormatError : public Error {
 public:
  using Error::Error;
  ~FormatError() override;
};

/// A plugin was refused, or a name asked for is no plugin's (exit code 4).
class PEFTLAB_API PluginError : public Error {
 public:
  using Error::Error;
  ~PluginError() override;
};

/// The experiment store is locked, full or failing (exit code 5).
class PEFTLAB_API StoreError : public Error {
 public:
  using Error::Error;
  ~StoreError() override;
};

/// Training cannot go on: a loss that is not finite, with its step, value and learning rate.
class PEFTLAB_API TrainError : public Error {
 public:
  using Error::Error;
  ~TrainError() override;
};

/// The thing asked for has no meaning here, such as merging a non-linear adapter.
class PEFTLAB_API UnsupportedError : public Error {
 public:
  using Error::Error;
  ~UnsupportedError() override;
};

}  // namespace peftlab
