#include "run/pool.h"

#include "run/child.h"
#include "support/interrupt.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <thread>

namespace peftlab::run {
namespace {

constexpr int kPollMs = 200;

struct Working {
  const Job* job;
  std::unique_ptr<Child> child;
};

std::string last_line(const std::string& text) {
  const auto end = text.find_last_not_of('\n');
  if (end == std::string::npos) return "";
  const auto start = text.rfind('\n', end);
  return text.substr(start == std::string::npos ? 0 : start + 1, end - (start == std::string::npos ? -1 : static_cast<long>(start)));
}

class Pool {
 public:
  Pool(store::Store& store, const std::vector<Job>& jobs, const PoolOptions& options, Bars& bars)
      : store_(store), options_(options), bars_(bars) {
    for (const Job& job : jobs) waiting_.push_back(&job);
    const auto cores = std::max<int64_t>(1, std::thread::hardware_concurrency());
    const int64_t together = std::min<int64_t>(options.jobs, std::max<size_t>(1, jobs.size()));
    share_ = std::max<int64_t>(1, cores / together);
  }

  PoolResult run() {
    while (!waiting_.empty() || !working_.empty()) {
      while (!waiting_.empty() && working_.size() < static_cast<size_t>(options_.jobs) && seen_signal() == 0) start();
      if (seen_signal() != 0) {
        stop();
        throw Interrupted{seen_signal()};
      }
      wait();
      collect();
      bars_.refresh();
    }
    return result_;
  }

 private:
  void start() {
    const Job* job = waiting_.front();
    waiting_.pop_front();
    bars_.started(job->run, job->title);
    const int64_t threads = job->threads > 0 ? job->threads : share_;
    working_.push_back(
        {job, std::make_unique<Child>(std::vector<std::string>{
                  "worker", "--host", std::to_string(getpid()), "--store", store_.folder().string(), "--run", job->run,
                  "--device", options_.device, "--threads", std::to_string(threads)})});
  }

  void wait() const {
    std::vector<pollfd> files;
    for (const Working& w : working_) {
      files.push_back({w.child->output(), POLLIN, 0});
      files.push_back({w.child->errors(), POLLIN, 0});
    }
    poll(files.data(), files.size(), kPollMs);
  }

  void collect() {
    for (Working& w : working_) {
      const auto end = w.child->ended();  // asked before reading, so that nothing written before the end is missed
      for (const std::string& line : w.child->read_lines()) {
        if (const auto progress = Progress::parse(line)) bars_.progress(w.job->run, *progress);
      }
      if (end) finish(w, *end);
    }
    std::erase_if(working_, [](const Working& w) { return !w.child; });
  }

  void finish(Working& w, const ChildEnd& end) {
    auto row = store_.run(w.job->run).run;
    // Another invocation may have taken it first; then it is that one's to tell.
    if (row.state == "pending" || (row.state == "running" && !store_.is_alive(w.job->run))) {
      // It died without a word: say how, in its stead.
      const std::string said = last_line(w.child->error_tail());
      store_.fail_run(w.job->run, end.signal != 0 ? "killed" : "crashed",
                      "the worker process ended with " + end.text() + (said.empty() ? "" : "; its last words: " + said));
      row = store_.run(w.job->run).run;
    }
    if (row.state == "finished") {
      ++result_.finished;
      bars_.ended(w.job->run, "finished");
    } else if (row.state == "running") {
      bars_.ended(w.job->run, "is being made by another process");
    } else {
      ++result_.failed;
      bars_.ended(w.job->run, row.state == "failed" ? "FAILED (" + row.error_kind + "): " + row.error_text : row.state);
    }
    w.child.reset();
  }

  void stop() {
    bars_.note("stopping: every run saves where it is");
    for (const Working& w : working_) w.child->signal(SIGTERM);
    while (!working_.empty()) {
      wait();
      collect();
    }
  }

  store::Store& store_;
  const PoolOptions& options_;
  Bars& bars_;
  std::deque<const Job*> waiting_;
  std::vector<Working> working_;
  int64_t share_ = 1;
  PoolResult result_;
};

}  // namespace

PoolResult run_pool(store::Store& store, const std::vector<Job>& jobs, const PoolOptions& options, Bars& bars) {
  return Pool(store, jobs, options, bars).run();
}

}  // namespace peftlab::run
