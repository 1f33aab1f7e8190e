#pragma once

/// \file
/// Standard output and what can become of it.

#include <peftlab/error.h>

namespace peftlab::cli {

/// Standard output did not take what was written.
class OutputError : public Error {
 public:
  explicit OutputError(int reason);
  /// Nobody reads any more, as in `peftlab list | head`: no more needs to be said.
  bool reader_is_gone() const;

 private:
  int reason_;
};

/// Makes sure that no file opened later becomes standard output or error, and that a reader who left is an error to be
/// handled instead of a signal that ends the process.
void prepare_streams();

/// Throws: OutputError if anything written to standard output is lost.
void flush_output();

}  // namespace peftlab::cli
