#pragma once

/// \file
/// A headless Chromium for tests of pages, driven over a pipe with the DevTools protocol.

#include <nlohmann/json.hpp>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace peftlab::browser {

/// Where `chromium` is on the PATH; empty: it is not there.
std::filesystem::path find_chromium();

/// True if the environment says PEFTLAB_WITHOUT_BROWSER=1: tests are then skipped where there is no browser.
bool without_browser();

/// One browser process with one page. Everything waits at most 20 s.
/// Throws: std::runtime_error with what was asked and what came back, if the browser does not start, ends, is silent or
/// answers with an error.
class Chromium {
 public:
  Chromium();
  ~Chromium();
  Chromium(const Chromium&) = delete;
  Chromium& operator=(const Chromium&) = delete;

  /// Opens `url` and returns when its load event has fired. Forgets the errors and requests of the page before.
  void navigate(const std::string& url);
  /// The value of a JavaScript expression; a promise is waited for.
  nlohmann::json evaluate(const std::string& expression);
  /// media: "screen" or "print"; scheme: "light" or "dark".
  void emulate(const std::string& media, const std::string& scheme);
  /// The view's size in CSS pixels.
  void resize(int width, int height);
  /// Presses and releases a key: "Enter", "Tab", " ", "Escape".
  void press(const std::string& key);
  /// Moves the pointer to the middle of the first element that `selector` finds; `click` also clicks there.
  void hover(const std::string& selector, bool click = false);
  void click(const std::string& selector) { hover(selector, true); }
  /// Writes what the view shows, or the whole page, as a PNG file.
  void screenshot(const std::filesystem::path& file, bool whole_page = false);

  /// Messages of the console and the log, and exceptions nobody caught, since navigate().
  const std::vector<std::string>& errors();
  /// The addresses asked for since navigate(), that of the page among them; data: addresses are left out.
  const std::vector<std::string>& requests();

  /// Any command of the protocol, sent to the page (or to the browser); returns its "result".
  nlohmann::json command(const std::string& method, nlohmann::json parameters = nlohmann::json::object());

 private:
  nlohmann::json receive();
  void note(const nlohmann::json& event);
  void stop();

  pid_t process_ = -1;
  int to_ = -1, from_ = -1;
  int last_id_ = 0;
  std::string session_, buffer_;
  std::filesystem::path profile_;
  bool loaded_ = false;
  std::vector<std::string> errors_, requests_;
};

}  // namespace peftlab::browser
