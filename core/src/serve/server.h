#pragma once

/// \file
/// The store as pages that follow what happens in it: read-only, and for this machine unless a token is set.

#include <filesystem>
#include <memory>
#include <string>

namespace peftlab::serve {

struct Options {
  std::filesystem::path store;
  std::string bind = "127.0.0.1";
  int port = 0;       ///< 0: a free one
  std::string token;  ///< asked for with every request; empty: none, which only a loopback address may have
};

/// The characters a token must have at least.
inline constexpr size_t kLeastToken = 16;

/// Answers GET and HEAD alone, only where the Host header names the address it listens on (a page elsewhere cannot have the
/// browser ask in its name), with a policy that lets pages run and load nothing but their own.
class Server {
 public:
  /// Listens from here on. Throws: ConfigError if the address is not this machine's own and there is no token, or one that
  /// is too short, or the port is taken; StoreError if there is no store.
  explicit Server(Options options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  int port() const;
  /// Answers until stop(), which any thread may call.
  void run();
  void stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace peftlab::serve
