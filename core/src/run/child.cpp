#include "run/child.h"

#include <peftlab/error.h>

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

extern char** environ;

namespace peftlab::run {
namespace {

void make_pipe(int ends[2]) {
  if (pipe2(ends, O_CLOEXEC) != 0) throw Error(std::string("no pipe can be made: ") + std::strerror(errno));
}

/// The environment of a worker. Left alone, OpenMP's threads wait for each other in a loop that keeps a core busy for
/// milliseconds; on a machine that does anything else too, that made training up to eight times slower. A
/// fifteenth of it costs an idle machine nothing that could be measured. Whoever has set how they wait keeps that.
std::vector<std::string> worker_environment() {
  std::vector<std::string> variables;
  for (char** variable = environ; *variable; ++variable) variables.emplace_back(*variable);
  if (!std::getenv("GOMP_SPINCOUNT") && !std::getenv("OMP_WAIT_POLICY")) variables.emplace_back("GOMP_SPINCOUNT=20000");
  // Large pages for what malloc takes from the system, where the system leaves it to the program (madvise).
  if (!std::getenv("GLIBC_TUNABLES")) variables.emplace_back("GLIBC_TUNABLES=glibc.malloc.hugetlb=1");
  return variables;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

/// All that can be read now, appended to `text`.
void drain(int file, std::string& text) {
  char buffer[4096];
  for (;;) {
    const ssize_t got = read(file, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    text.append(buffer, static_cast<size_t>(got));
  }
}

}  // namespace

std::string ChildEnd::text() const {
  if (signal == 0) return "exit code " + std::to_string(exit_code);
  return "killed by signal " + std::to_string(signal) + " (" + strsignal(signal) + ")";
}

Child::Child(const std::vector<std::string>& arguments) {
  int out[2], err[2];
  make_pipe(out);
  make_pipe(err);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err[1], STDERR_FILENO);
  std::vector<std::string> words = {"peftlab"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<std::string> variables = worker_environment();
  // A group of its own: Ctrl-C reaches it through us, once, and not from the terminal as well.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  const int error =
      posix_spawn(&pid_, "/proc/self/exe", &actions, &attributes, pointers(words).data(), pointers(variables).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  close(out[1]);
  close(err[1]);
  output_ = out[0];
  errors_ = err[0];
  if (error != 0) {
    close(output_);
    close(errors_);
    throw Error(std::string("no process can be started: ") + std::strerror(error));
  }
  fcntl(output_, F_SETFL, O_NONBLOCK);
  fcntl(errors_, F_SETFL, O_NONBLOCK);
}

Child::~Child() {
  if (!ended()) {
    signal(SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  close(output_);
  close(errors_);
}

std::vector<std::string> Child::read_lines() {
  drain(errors_, error_tail_);
  if (error_tail_.size() > 4000) error_tail_.erase(0, error_tail_.size() - 4000);
  drain(output_, partial_);
  std::vector<std::string> lines;
  size_t start = 0;
  for (size_t end; (end = partial_.find('\n', start)) != std::string::npos; start = end + 1) {
    lines.push_back(partial_.substr(start, end - start));
  }
  partial_.erase(0, start);
  return lines;
}

std::optional<ChildEnd> Child::ended() {
  if (end_) return end_;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) != pid_) return std::nullopt;
  end_ = WIFSIGNALED(status) ? ChildEnd{0, WTERMSIG(status)} : ChildEnd{WEXITSTATUS(status), 0};
  return end_;
}

void Child::signal(int number) const { kill(pid_, number); }

}  // namespace peftlab::run
