#include "chromium.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace peftlab::browser {
namespace {

using nlohmann::json;

constexpr std::chrono::seconds kPatience{20};

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error("chromium: " + what); }

/// The bytes that base64 text stands for.
std::string from_base64(const std::string& text) {
  const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  unsigned bits = 0;
  int n_bits = 0;
  for (const char c : text) {
    const size_t digit = digits.find(c);
    if (digit == std::string::npos) break;
    bits = (bits << 6 | static_cast<unsigned>(digit)) & 0xffffff;
    n_bits += 6;
    if (n_bits < 8) continue;
    n_bits -= 8;
    bytes += static_cast<char>(bits >> n_bits & 0xff);
  }
  return bytes;
}

/// In the child: pipes become the descriptors 3 (read) and 4 (written), the browser's own talk goes nowhere.
void become_browser(int commands, int answers, const std::vector<std::string>& words) {
  const int in = fcntl(commands, F_DUPFD, 10);
  const int out = fcntl(answers, F_DUPFD, 10);
  const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  dup2(in, 3);
  dup2(out, 4);
  close(in);
  close(out);
  for (const int standard : {0, 1, 2}) dup2(nothing, standard);
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  setpgid(0, 0);
  execv(arguments[0], arguments.data());
  _exit(127);
}

}  // namespace

std::filesystem::path find_chromium() {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path ? path : "");
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::filesystem::path file = std::filesystem::path(folder) / "chromium";
    if (access(file.c_str(), X_OK) == 0) return file;
  }
  return {};
}

bool without_browser() {
  const char* said = std::getenv("PEFTLAB_WITHOUT_BROWSER");
  return said && std::strcmp(said, "1") == 0;
}

Chromium::Chromium() {
  const std::filesystem::path program = find_chromium();
  if (program.empty()) fail("not on the PATH; Debian's package is called chromium");
  std::string profile = (std::filesystem::temp_directory_path() / "peftlab-browser-XXXXXX").string();
  if (!mkdtemp(profile.data())) fail("cannot make " + profile);
  profile_ = profile;
  std::array<int, 2> commands{}, answers{};
  if (pipe2(commands.data(), O_CLOEXEC) != 0 || pipe2(answers.data(), O_CLOEXEC) != 0) fail("no pipe");
  const std::vector<std::string> words{program.string(),
                                       "--headless",
                                       "--no-sandbox",
                                       "--disable-gpu",
                                       "--disable-dev-shm-usage",
                                       "--no-first-run",
                                       "--disable-background-networking",
                                       "--disable-component-update",
                                       "--disable-sync",
                                       "--hide-scrollbars",
                                       "--force-device-scale-factor=1",
                                       "--user-data-dir=" + profile,
                                       "--remote-debugging-pipe"};
  process_ = fork();
  if (process_ < 0) fail("cannot fork");
  if (process_ == 0) become_browser(commands[0], answers[1], words);
  close(commands[0]);
  close(answers[1]);
  to_ = commands[1];
  from_ = answers[0];
  try {
    const json target = command("Target.createTarget", {{"url", "about:blank"}});
    const json attached = command("Target.attachToTarget", {{"targetId", target.at("targetId")}, {"flatten", true}});
    session_ = attached.at("sessionId");
    for (const char* domain : {"Page", "Runtime", "Network", "Log"}) command(std::string(domain) + ".enable");
    resize(1200, 900);
  } catch (...) {
    stop();
    throw;
  }
}

Chromium::~Chromium() { stop(); }

void Chromium::stop() {
  if (to_ >= 0) close(to_);
  if (from_ >= 0) close(from_);
  to_ = from_ = -1;
  if (process_ > 0) {
    kill(-process_, SIGKILL);
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
    process_ = -1;
  }
  // The browser's children may still be writing.
  std::error_code error;
  for (int i = 0; i < 20 && std::filesystem::exists(profile_); ++i) {
    std::filesystem::remove_all(profile_, error);
    if (error) usleep(50'000);
  }
}

json Chromium::receive() {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  for (;;) {
    const size_t end = buffer_.find('\0');
    if (end != std::string::npos) {
      json message = json::parse(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(end));
      buffer_.erase(0, end + 1);
      return message;
    }
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    pollfd waiting{from_, POLLIN, 0};
    if (left <= 0 || poll(&waiting, 1, static_cast<int>(left)) == 0) fail("said nothing for 20 s");
    std::array<char, 65536> bytes{};
    const ssize_t n = read(from_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail("ended");
    buffer_.append(bytes.data(), static_cast<size_t>(n));
  }
}

void Chromium::note(const json& event) {
  const std::string method = event.value("method", "");
  const json& facts = event.contains("params") ? event["params"] : event;
  if (method == "Page.loadEventFired") loaded_ = true;
  if (method == "Runtime.exceptionThrown") errors_.push_back(facts.at("exceptionDetails").dump());
  if (method == "Runtime.consoleAPICalled") errors_.push_back(facts.at("args").dump());
  if (method == "Log.entryAdded") errors_.push_back(facts.at("entry").dump());
  if (method == "Network.requestWillBeSent") {
    const std::string url = facts.at("request").at("url");
    if (!url.starts_with("data:")) requests_.push_back(url);
  }
}

json Chromium::command(const std::string& method, json parameters) {
  json asked{{"id", ++last_id_}, {"method", method}, {"params", std::move(parameters)}};
  if (!session_.empty()) asked["sessionId"] = session_;
  const std::string text = asked.dump();
  const char* at = text.c_str();
  for (size_t left = text.size() + 1; left > 0;) {
    // A browser that has gone must be an error, not a signal that ends the test.
    signal(SIGPIPE, SIG_IGN);
    const ssize_t n = write(to_, at, left);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail(method + " could not be sent");
    at += n;
    left -= static_cast<size_t>(n);
  }
  for (;;) {
    const json answer = receive();
    if (answer.value("id", 0) != last_id_) {
      note(answer);
      continue;
    }
    if (answer.contains("error")) fail(method + ": " + answer["error"].dump());
    return answer.at("result");
  }
}

void Chromium::navigate(const std::string& url) {
  errors_.clear();
  requests_.clear();
  loaded_ = false;
  const json answer = command("Page.navigate", {{"url", url}});
  if (answer.contains("errorText")) fail(url + ": " + answer["errorText"].get<std::string>());
  while (!loaded_) note(receive());
}

json Chromium::evaluate(const std::string& expression) {
  const json answer =
      command("Runtime.evaluate", {{"expression", expression}, {"returnByValue", true}, {"awaitPromise", true}});
  if (answer.contains("exceptionDetails")) fail(expression + ": " + answer["exceptionDetails"].dump());
  return answer.at("result").value("value", json());
}

void Chromium::emulate(const std::string& media, const std::string& scheme) {
  command("Emulation.setEmulatedMedia",
          {{"media", media}, {"features", {{{"name", "prefers-color-scheme"}, {"value", scheme}}}}});
}

void Chromium::resize(int width, int height) {
  command("Emulation.setDeviceMetricsOverride",
          {{"width", width}, {"height", height}, {"deviceScaleFactor", 1}, {"mobile", false}});
}

void Chromium::press(const std::string& key) {
  const std::string text = key == "Enter" ? "\r" : key.size() == 1 ? key : "";
  const int code = key == "Enter" ? 13 : key == "Tab" ? 9 : key == "Escape" ? 27 : key == " " ? 32 : 0;
  json down{{"type", text.empty() ? "rawKeyDown" : "keyDown"}, {"key", key}, {"windowsVirtualKeyCode", code}};
  if (!text.empty()) down["text"] = text;
  command("Input.dispatchKeyEvent", down);
  command("Input.dispatchKeyEvent", {{"type", "keyUp"}, {"key", key}, {"windowsVirtualKeyCode", code}});
}

void Chromium::hover(const std::string& selector, bool click) {
  const json place = evaluate("(() => { const e = document.querySelector(" + json(selector).dump() +
                              "); if (!e) return null; e.scrollIntoView({block: 'center'});"
                              " const b = e.getBoundingClientRect();"
                              " return {x: b.x + b.width / 2, y: b.y + b.height / 2}; })()");
  if (place.is_null()) fail("the page has no " + selector);
  json event{{"type", "mouseMoved"}, {"x", place["x"]}, {"y", place["y"]}};
  command("Input.dispatchMouseEvent", event);
  if (!click) return;
  event["button"] = "left";
  event["clickCount"] = 1;
  for (const char* type : {"mousePressed", "mouseReleased"}) {
    event["type"] = type;
    command("Input.dispatchMouseEvent", event);
  }
}

void Chromium::screenshot(const std::filesystem::path& file, bool whole_page) {
  const json answer = command("Page.captureScreenshot", {{"format", "png"}, {"captureBeyondViewport", whole_page}});
  std::ofstream out(file, std::ios::binary);
  out << from_base64(answer.at("data"));
  if (!out.flush()) fail("cannot write " + file.string());
}

const std::vector<std::string>& Chromium::errors() {
  evaluate("0");  // what the page said before this is noted
  return errors_;
}

const std::vector<std::string>& Chromium::requests() {
  evaluate("0");
  return requests_;
}

}  // namespace peftlab::browser
