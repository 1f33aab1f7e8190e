#include "registry/host_state.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/DefaultDtype.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <cfenv>
#include <clocale>
#include <csignal>
#include <filesystem>
#include <locale>

namespace peftlab::registry {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGPIPE, SIGCHLD, SIGSEGV};
constexpr const char* kSignalNames[] = {"SIGINT", "SIGTERM", "SIGPIPE", "SIGCHLD", "SIGSEGV"};
constexpr size_t kSignalCount = std::size(kSignals);

bool same_handler(const struct sigaction& a, const struct sigaction& b) {
  return a.sa_handler == b.sa_handler && (a.sa_flags & SA_SIGINFO) == (b.sa_flags & SA_SIGINFO);
}

torch::Tensor random_state() { return at::detail::getDefaultCPUGenerator().get_state(); }

}  // namespace

struct HostState::Kept {
  int threads = at::get_num_threads();
  bool gradients = at::GradMode::is_enabled();
  caffe2::TypeMeta type = c10::get_default_dtype();
  bool deterministic = at::globalContext().deterministicAlgorithms();
  std::string c_locale = std::setlocale(LC_ALL, nullptr);
  std::locale cpp_locale;
  int rounding = std::fegetround();
  std::filesystem::path folder = std::filesystem::current_path();
  struct sigaction handlers[kSignalCount];
  torch::Tensor random;  ///< undefined where it is not watched
};

HostState::HostState(bool random) : kept_(std::make_unique<Kept>()) {
  for (size_t i = 0; i < kSignalCount; ++i) sigaction(kSignals[i], nullptr, &kept_->handlers[i]);
  if (random) kept_->random = random_state();
}

HostState::~HostState() = default;

std::vector<std::string> HostState::restore() const {
  std::vector<std::string> changed;
  const auto check = [&](bool same, const char* what, const auto& put_back) {
    if (same) return;
    changed.emplace_back(what);
    put_back();
  };
  check(at::get_num_threads() == kept_->threads, "LibTorch's number of threads",
        [&] { at::set_num_threads(kept_->threads); });
  check(at::GradMode::is_enabled() == kept_->gradients, "LibTorch's gradient mode",
        [&] { at::GradMode::set_enabled(kept_->gradients); });
  check(c10::get_default_dtype() == kept_->type, "LibTorch's default type",
        [&] { c10::set_default_dtype(kept_->type); });
  check(at::globalContext().deterministicAlgorithms() == kept_->deterministic, "LibTorch's choice of algorithms",
        [&] { at::globalContext().setDeterministicAlgorithms(kept_->deterministic, false); });
  // The C++ locale first: setting it may set the C one.
  check(std::locale() == kept_->cpp_locale, "the C++ locale", [&] { std::locale::global(kept_->cpp_locale); });
  check(kept_->c_locale == std::setlocale(LC_ALL, nullptr), "the C locale",
        [&] { std::setlocale(LC_ALL, kept_->c_locale.c_str()); });
  check(std::fegetround() == kept_->rounding, "the rounding of floating-point numbers",
        [&] { std::fesetround(kept_->rounding); });
  std::error_code gone;
  check(std::filesystem::current_path(gone) == kept_->folder, "the working folder",
        [&] { std::filesystem::current_path(kept_->folder, gone); });
  for (size_t i = 0; i < kSignalCount; ++i) {
    struct sigaction now;
    sigaction(kSignals[i], nullptr, &now);
    if (same_handler(now, kept_->handlers[i])) continue;
    changed.push_back(std::string("the handler of ") + kSignalNames[i]);
    sigaction(kSignals[i], &kept_->handlers[i], nullptr);
  }
  if (kept_->random.defined()) {
    check(torch::equal(random_state(), kept_->random), "LibTorch's random stream", [&] {
      auto generator = at::detail::getDefaultCPUGenerator();
      generator.set_state(kept_->random);
    });
  }
  return changed;
}

}  // namespace peftlab::registry
