#include "registry/trial.h"

#include <peftlab/error.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace peftlab::registry {
namespace {

using Clock = std::chrono::steady_clock;

std::string end_of(int status) {
  if (WIFSIGNALED(status)) {
    return "signal " + std::to_string(WTERMSIG(status)) + " (" + strsignal(WTERMSIG(status)) + ")";
  }
  return "exit code " + std::to_string(WEXITSTATUS(status));
}

/// Waits until the process is gone, or ends it. `progress` is asked whether it did something since the last time.
TrialEnd wait_for(pid_t process, std::chrono::milliseconds patience, const std::function<bool()>& progress) {
  auto since = Clock::now();
  for (auto pause = std::chrono::microseconds(200);; pause = std::min(pause * 2, std::chrono::microseconds(20000))) {
    int status = 0;
    if (waitpid(process, &status, WNOHANG) == process) {
      if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {true, ""};
      return {false, end_of(status)};
    }
    if (progress()) since = Clock::now();
    if (Clock::now() - since > patience) {
      kill(process, SIGKILL);
      waitpid(process, &status, 0);
      return {false, "no end within " + std::to_string(patience.count() / 1000) + " s"};
    }
    usleep(static_cast<useconds_t>(pause.count()));
  }
}

/// A copy of this process, which does `work` and ends. Its own handlers of signals and of exit are not called.
pid_t start(const std::function<void()>& work) {
  const pid_t process = fork();
  if (process < 0) throw Error(std::string("no process can be started: ") + std::strerror(errno));
  if (process > 0) return process;
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTERM, SIGINT}) ::signal(signal, SIG_DFL);
  try {
    work();
  } catch (...) {
    _exit(1);
  }
  _exit(0);
}

void silence() {
  const int nothing = open("/dev/null", O_WRONLY);
  dup2(nothing, STDOUT_FILENO);
  dup2(nothing, STDERR_FILENO);
}

}  // namespace

TrialEnd try_apart(const std::function<void()>& work, std::chrono::milliseconds patience) {
  return wait_for(start(work), patience, [] { return false; });
}

std::map<std::filesystem::path, std::string> loads_that_end_the_process(const std::vector<std::filesystem::path>& files,
                                                                        std::chrono::milliseconds patience) {
  std::map<std::filesystem::path, std::string> ended;
  // Declared not to throw, dlopen() does where a library's first moments do: called so that the compiler cannot know it.
  const std::function<void*(const char*, int)> load = dlopen;
  // One copy loads them all, and says so after each; where it dies, the next one goes on behind the culprit.
  for (size_t first = 0; first < files.size();) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) throw Error(std::string("no pipe can be made: ") + std::strerror(errno));
    const pid_t process = start([&] {
      silence();
      for (size_t i = first; i < files.size(); ++i) {
        try {
          load(files[i].c_str(), RTLD_NOW | RTLD_LOCAL);
        } catch (...) {  // told where it is loaded for good
        }
        if (write(ends[1], "+", 1) != 1) _exit(1);
      }
    });
    close(ends[1]);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    size_t loaded = 0;
    const auto heard = [&] {
      char marks[256];
      const ssize_t n = read(ends[0], marks, sizeof marks);
      if (n > 0) loaded += static_cast<size_t>(n);
      return n > 0;
    };
    const TrialEnd end = wait_for(process, patience, heard);
    while (heard()) {
    }
    close(ends[0]);
    first += loaded;
    if (first >= files.size()) break;
    ended[files[first]] = "loading it ends the process: " + (end.finished ? "exit code 0" : end.problem);
    ++first;
  }
  return ended;
}

}  // namespace peftlab::registry
