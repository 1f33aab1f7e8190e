/// A comparison killed at random moments, again and again: it ends as one that nobody disturbed.

#include "workshop.h"

#include "support/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <map>
#include <random>
#include <thread>

#include <sys/wait.h>
#include <unistd.h>

namespace peftlab::end_to_end {
namespace {

namespace fs = std::filesystem;

constexpr int kKills = 50;
constexpr const char* kMethods[] = {"adalora", "adapter", "bitfit",  "full",       "ia3",   "layernorm", "lora",
                                    "prefix",  "prompt",  "ptuning", "ptuning_v2", "qlora", "vera"};

/// Every method with two seeds, accumulation and a search; one of them in half precision with loss scaling.
std::string experiment_of(const Workshop& shop) {
  std::string text = read_text(shop.folder / "compare.toml");
  text = text.substr(0, text.find("[[method]]"));
  const auto set = [&](const std::string& from, const std::string& to) {
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
  };
  set("primary = \"bleu\"", "primary = \"loss\"");
  set("steps = 8", "steps = 30\ngradient_accumulation = 2");
  set("batch_size = 6", "batch_size = 3");
  set("learning_rate = 1e-3\n", "");
  set("eval_every = 4", "eval_every = 5");
  text += "[tune]\nlearning_rate = [1e-3, 3e-3]\n";
  for (const std::string method : kMethods) {
    text += "[[method]]\nplugin = \"" + method + "\"\n";
    if (method == "adalora") text += "warmup_steps = 5\nfinal_steps = 5\ninterval = 2\n";
    if (method == "lora") text += "dropout = 0.1\n";
  }
  return text + "[[method]]\nlabel = \"lora-fp16\"\nplugin = \"lora\"\ntrain.precision = \"fp16\"\n";
}

/// `peftlab run kills.toml --jobs 2` as a process group of its own.
pid_t begin(const fs::path& folder) {
  const std::string program = fs::path(std::getenv("PEFTLAB_BINARY_DIR")) / "peftlab";
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child != 0) return child;
  if (chdir(folder.c_str()) != 0 || !freopen("out.txt", "w", stdout) || !freopen("err.txt", "w", stderr)) _exit(126);
  execl(program.c_str(), "peftlab", "run", "kills.toml", "--jobs", "2", static_cast<char*>(nullptr));
  _exit(127);
}

/// The processes that `host` started.
std::vector<pid_t> workers_of(pid_t host) {
  std::ifstream stream("/proc/" + std::to_string(host) + "/task/" + std::to_string(host) + "/children");
  std::vector<pid_t> found;
  for (pid_t pid = 0; stream >> pid;) found.push_back(pid);
  return found;
}

/// "experiment label seed" -> checksum and every point of the loss: what must not change.
std::map<std::string, std::string> results(const Workshop& shop) {
  const auto store = shop.store();
  std::map<std::string, std::string> found;
  for (const auto& run : store.runs()) {
    if (!run.is_newest || !run.is_current) continue;
    std::string& text = found[run.experiment + " " + run.label + " " + std::to_string(run.seed)];
    text = run.state + " " + run.adapter_sha256.value_or("-");
    int64_t step = 0;
    for (const auto& point : store.series(run.uuid, "train/loss")) {
      EXPECT_EQ(point.step, ++step) << run.label;
      text += " " + to_json(Value(point.value));
    }
    for (const auto& point : store.series(run.uuid, "validation/loss")) text += " " + to_json(Value(point.value));
    for (const auto& score : store.run(run.uuid).scores) {
      text += " " + score.metric + "=" + to_json(Value(score.value));
    }
  }
  return found;
}

void expect_same(const std::map<std::string, std::string>& found, const std::map<std::string, std::string>& wanted) {
  for (const auto& [run, text] : wanted) {
    const auto other = found.find(run);
    EXPECT_EQ(other == found.end() ? "absent" : other->second, text) << run;
  }
  EXPECT_EQ(found.size(), wanted.size());
}

TEST(Kills, FiftyAtRandomMomentsChangeNothing) {
  const Workshop undisturbed("undisturbed");
  undisturbed.write("kills.toml", experiment_of(undisturbed));
  ASSERT_EQ(undisturbed.peftlab({"run", "kills.toml", "--jobs", "2"}).exit_code, 0)
      << read_text(undisturbed.folder / "err.txt");
  const auto wanted = results(undisturbed);
  const size_t n_methods = std::size(kMethods) + 1;
  ASSERT_EQ(wanted.size(), 1 + n_methods * (2 + 2)) << "the base, and each method with two trials and two seeds";

  const Workshop shop("kills");
  shop.write("kills.toml", experiment_of(shop));
  std::mt19937_64 random(1);
  int kills = 0, of_hosts = 0, of_workers = 0, finished = 0;
  while (kills < kKills) {
    const pid_t host = begin(shop.folder);
    const auto moment = std::chrono::steady_clock::now() + std::chrono::milliseconds(300 + random() % 1500);
    int status = 0;
    bool has_ended = false;
    while (!has_ended && std::chrono::steady_clock::now() < moment) {
      has_ended = waitpid(host, &status, WNOHANG) == host;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    if (has_ended) {
      // It came to its end: from now on another store is disturbed.
      ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << read_text(shop.folder / "err.txt");
      expect_same(results(shop), wanted);
      fs::remove_all(shop.folder / "peftlab.store");
      ++finished;
      continue;
    }
    ++kills;
    const auto workers = workers_of(host);
    const auto what = random() % 3;
    if (what == 0 && !workers.empty()) {  // one worker; its host goes on without it until it is killed as well
      of_workers += kill(workers[random() % workers.size()], SIGKILL) == 0;
      std::this_thread::sleep_for(std::chrono::milliseconds(random() % 300));
    }
    if (what == 1) {  // all at once, as when the machine stops
      for (const pid_t worker : workers) of_workers += kill(worker, SIGKILL) == 0;
    }
    of_hosts += kill(host, SIGKILL) == 0;
    waitpid(host, &status, 0);
  }
  int status = 1;
  for (int tries = 0; tries < 3 && status != 0; ++tries)
    status = shop.peftlab({"run", "kills.toml", "--jobs", "2"}).exit_code;
  EXPECT_EQ(status, 0) << read_text(shop.folder / "err.txt");
  expect_same(results(shop), wanted);
  // What a writer left half done is garbage, and no damage.
  auto store = store::Store::open(shop.folder / "peftlab.store", store::Mode::read_write);
  store.gc(/*dry_run=*/false, std::chrono::seconds(0));
  EXPECT_EQ(store.check(), std::vector<std::string>());
  EXPECT_EQ(of_hosts, kKills);
  EXPECT_GT(of_workers, 10);
  RecordProperty("worker_kills", of_workers);
  RecordProperty("came_to_an_end", finished);
}

}  // namespace
}  // namespace peftlab::end_to_end
