#include "train/shared_features.h"

#include "checkpoint/safetensors.h"
#include "support/sha256.h"

#include <peftlab/error.h>

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <thread>
#include <utility>

namespace peftlab::train {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr const char* kTensor = "features";
constexpr const char* kMadeFrom = "made_from";
constexpr const char* kSha256 = "sha256";
constexpr double kLeastPatience = 1.0;  // seconds

std::string_view bytes_of(const torch::Tensor& tensor) {
  return {static_cast<const char*>(tensor.data_ptr()), tensor.nbytes()};
}

/// The tensor of a file that is whole and was made from what `text` says.
/// Throws: FormatError with what is wrong with it.
torch::Tensor read(const fs::path& file, const std::string& text) {
  if (!fs::is_regular_file(file)) throw FormatError(file.string() + ": is no plain file");
  const checkpoint::SafetensorsFile saved(file);
  const auto says = [&](const char* fact) {
    const auto found = saved.metadata().find(fact);
    return found == saved.metadata().end() ? "" : found->second;
  };
  if (says(kMadeFrom) != text) throw FormatError(file.string() + ": was made from something else than its name says");
  torch::Tensor tensor = saved.tensor(kTensor);
  if (sha256_hex(bytes_of(tensor)) != says(kSha256)) throw FormatError(file.string() + ": its bytes were changed");
  return tensor;
}

/// Whether `tensor` can be the features that begin with `first`: type, shape, and the very bits.
bool begins_with(const torch::Tensor& tensor, const torch::Tensor& first, int64_t rows) {
  return tensor.scalar_type() == first.scalar_type() && tensor.dim() == first.dim() && tensor.size(0) == rows &&
         tensor.sizes().slice(1) == first.sizes().slice(1) && bytes_of(tensor).starts_with(bytes_of(first));
}

/// The right to make one file, which one process has at a time and loses when it ends, however it ends.
///
/// Waiting for whoever has it costs no time: it has as many threads (they are in the file's name) and has begun before,
/// so it is done first; and it leaves the cores to other work. But it may have been stopped, by a debugger or a
/// scheduler: who has waited for as long as computing should take, twice, computes the same.
class Turn {
 public:
  explicit Turn(fs::path lock) : lock_(std::move(lock)), file_(::open(lock_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {}
  ~Turn() {
    // Who waits for it has it open, and who comes later finds what was made: the name is needed no more. Where that
    // failed, two may make it at once, which is a pity and no harm.
    if (has_it_) ::unlink(lock_.c_str());
    if (file_ >= 0) ::close(file_);
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  /// Returns whether another process had it, and may have made the file. Throws: Stopped.
  bool wait(double seconds, const std::function<bool()>& stop) {
    const auto end = Clock::now() + std::chrono::duration<double>(seconds);
    bool has_waited = false;
    while (file_ >= 0 && !has_it_) {
      has_it_ = ::flock(file_, LOCK_EX | LOCK_NB) == 0;
      if (has_it_ || (errno != EWOULDBLOCK && errno != EINTR) || Clock::now() >= end) break;
      if (stop && stop()) throw Stopped();
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      has_waited = true;
    }
    return has_waited;
  }

 private:
  fs::path lock_;
  int file_;
  bool has_it_ = false;
};

}  // namespace

struct SharedFeatures::Folder {
  fs::path path;
  std::function<Table()> made_from;
  std::function<void(const std::string&)> tell;
  std::optional<Table> facts = {};                   ///< what made_from said
  std::map<std::string, torch::Tensor> opened = {};  ///< by the text they were made from

  std::string text(const Table& more, const Table& own) {
    if (!facts) facts = made_from();
    Table all = *facts;
    for (const Table* table : {&more, &own}) {
      for (const auto& [key, value] : *table) all[key] = value;
    }
    return to_json(all);
  }

  fs::path file(const std::string& text) const { return path / (sha256_hex(text) + ".safetensors"); }

  /// What the file of `text` holds, if that can be used.
  torch::Tensor find(const std::string& text, const torch::Tensor& first, int64_t rows) {
    const fs::path from = file(text);
    std::error_code error;
    if (!fs::exists(fs::symlink_status(from, error))) return {};
    try {
      torch::Tensor found = read(from, text);
      if (!begins_with(found, first, rows)) throw FormatError(from.string() + ": is not what the model computes now");
      return opened[text] = found;
    } catch (const std::exception& problem) {
      tell(fmt::format("{}; computing it again", problem.what()));
      return {};
    }
  }

  bool write(const std::string& text, const torch::Tensor& made) const {
    try {
      checkpoint::write_safetensors(file(text), {{kTensor, made}},
                                    {{kMadeFrom, text}, {kSha256, sha256_hex(bytes_of(made))}});
      return true;
    } catch (const std::exception& problem) {
      tell(fmt::format("{}; other runs will compute it again", problem.what()));
      return false;
    }
  }
};

SharedFeatures::SharedFeatures(fs::path folder, std::function<Table()> made_from,
                               std::function<void(const std::string&)> tell)
    : folder_(std::make_shared<Folder>(Folder{std::move(folder), std::move(made_from), std::move(tell)})) {}

SharedFeatures SharedFeatures::with(const Table& more) const {
  SharedFeatures all = *this;
  for (const auto& [key, value] : more) all.more_[key] = value;
  return all;
}

torch::Tensor SharedFeatures::of(const Table& own, const Work& work) const {
  std::string text;
  if (folder_) {
    text = folder_->text(more_, own);
    if (const auto known = folder_->opened.find(text); known != folder_->opened.end()) return known->second;
  }
  const auto start = Clock::now();
  const torch::Tensor first = work.first().contiguous();
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  if (static_cast<int64_t>(first.nbytes()) > kMostKept / work.rows * first.size(0)) return {};
  if (!folder_) return work.all(first);

  torch::Tensor found = folder_->find(text, first, work.rows);
  if (found.defined()) return found;
  std::error_code told_by_write;
  fs::create_directories(folder_->path, told_by_write);
  Turn turn(folder_->file(text).replace_extension(".lock"));
  const double whole = seconds * static_cast<double>(work.rows) / static_cast<double>(std::max<int64_t>(1, first.size(0)));
  if (turn.wait(std::max(kLeastPatience, 2 * whole), work.stop)) found = folder_->find(text, first, work.rows);
  if (found.defined()) return found;

  const torch::Tensor made = work.all(first).contiguous();
  // On the file, other processes have the same memory.
  if (folder_->write(text, made)) found = folder_->find(text, first, work.rows);
  return found.defined() ? found : made;
}

std::string sha256_of(const std::vector<int64_t>& numbers) {
  return sha256_hex({reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(int64_t)});
}

Table weights_in_force(const Model& model, const std::string& prefix) {
  std::set<std::string> types;
  std::map<std::string, std::string> formats;
  for (const auto& item : model.named_parameters()) {
    if (item.key().starts_with(prefix)) types.insert(c10::toString(item.value().scalar_type()));
  }
  for (const auto& item : model.named_modules("", /*include_self=*/false)) {
    const auto linear = std::dynamic_pointer_cast<Linear>(item.value());
    if (!linear || !item.key().starts_with(prefix) || !linear->quantized()) continue;
    const QuantizationFormat& format = linear->quantized()->format();
    formats[item.key()] = fmt::format("{} {} {}", format.type, format.block_size, format.double_quantization);
  }
  Table quantized;
  for (const auto& [name, format] : formats) quantized[name] = format;
  return {{"types", std::vector<std::string>(types.begin(), types.end())},
          {"quantized", quantized},
          {"training", model.is_training()}};
}

}  // namespace peftlab::train
