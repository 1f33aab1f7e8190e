#include "checkpoint/safetensors.h"

#include "support/files.h"

#include <peftlab/error.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <utility>

namespace peftlab::checkpoint {
namespace {

// What a header may cost: both keep the reading of any file, however it is made, under a second and a few hundred MB.
constexpr size_t kHeaderLimit = size_t{32} << 20;  // bytes
constexpr size_t kMarkLimit = 500'000;             // commas and opening brackets: 8 for a matrix, so 60,000 of them
constexpr size_t kDimensionLimit = 8;

struct Type {
  const char* name;
  torch::ScalarType type;
};

/// In the order that Hugging Face's library writes tensors in: the widest first, so that all are aligned.
constexpr Type kTypes[] = {
    {"U64", torch::kUInt64},
    {"I64", torch::kInt64},
    {"F64", torch::kFloat64},
    {"F32", torch::kFloat32},
    {"U32", torch::kUInt32},
    {"I32", torch::kInt32},
    {"BF16", torch::kBFloat16},
    {"F16", torch::kFloat16},
    {"U16", torch::kUInt16},
    {"I16", torch::kInt16},
    {"F8_E8M0", at::kFloat8_e8m0fnu},
    {"F8_E4M3", at::kFloat8_e4m3fn},
    {"F8_E5M2", at::kFloat8_e5m2},
    {"I8", torch::kInt8},
    {"U8", torch::kUInt8},
    {"BOOL", torch::kBool},
};

const Type* find_type(const std::string& name) {
  const auto found = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const Type& t) { return name == t.name; });
  return found == std::end(kTypes) ? nullptr : found;
}

/// Its place in kTypes. Throws: FormatError for a type the format does not have.
size_t type_rank(torch::ScalarType type) {
  const auto found = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const Type& t) { return t.type == type; });
  if (found == std::end(kTypes)) throw FormatError(std::string("safetensors has no type for ") + c10::toString(type));
  return static_cast<size_t>(found - std::begin(kTypes));
}

std::string type_list() {
  std::string list;
  for (const Type& type : kTypes) list += (list.empty() ? "" : ", ") + std::string(type.name);
  return list;
}

std::string shortened(const std::string& text) { return text.size() > 80 ? text.substr(0, 80) + "..." : text; }

}  // namespace

struct SafetensorsFile::Mapping {
  explicit Mapping(const std::filesystem::path& path) {
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) throw FormatError(path.string() + ": cannot be opened: " + std::strerror(errno));
    struct stat status {};
    if (::fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
      ::close(file);
      throw FormatError(path.string() + ": is not a regular file");
    }
    size = static_cast<size_t>(status.st_size);
    if (size > 0) data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, file, 0);
    const int error = errno;
    ::close(file);
    if (data == MAP_FAILED) throw FormatError(path.string() + ": cannot be mapped: " + std::strerror(error));
  }
  ~Mapping() {
    if (data && data != MAP_FAILED) ::munmap(data, size);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  const char* bytes() const { return static_cast<const char*>(data); }

  void* data = nullptr;
  size_t size = 0;
};

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : path_(path), mapping_(new Mapping(path)) {
  const auto refuse = [&](const std::string& what) { throw FormatError(path.string() + ": not safetensors: " + what); };
  if (mapping_->size < 8) refuse("only " + std::to_string(mapping_->size) + " bytes long");
  uint64_t header = 0;
  for (int i = 7; i >= 0; --i) header = header << 8 | static_cast<unsigned char>(mapping_->bytes()[i]);
  if (header > kHeaderLimit)
    refuse("its header claims " + std::to_string(header) + " bytes, more than " + std::to_string(kHeaderLimit));
  if (header > mapping_->size - 8) {
    refuse("its header claims " + std::to_string(header) + " bytes, the file has " + std::to_string(mapping_->size));
  }
  const std::string_view text(mapping_->bytes() + 8, header);
  if (text.empty() || text.front() != '{') refuse("its header is no JSON object");
  // Before it is parsed: values take far more memory than their text.
  const auto marks = std::count_if(text.begin(), text.end(), [](char c) { return c == ',' || c == '[' || c == '{'; });
  if (static_cast<size_t>(marks) > kMarkLimit) {
    refuse("its header has " + std::to_string(marks) + " commas and opening brackets, more than " +
           std::to_string(kMarkLimit));
  }
  const Value value = parse_json(text, path.string());
  const size_t data_start = 8 + header;

  for (const auto& [name, entry] : *value.get_if<Table>()) {
    if (name != "__metadata__") {
      read_entry(name, entry, data_start);
      continue;
    }
    const Table* table = entry.get_if<Table>();
    if (!table) refuse("__metadata__ is no object");
    for (const auto& [key, item] : *table) {
      const auto* line = item.get_if<std::string>();
      if (!line) refuse("__metadata__ `" + shortened(key) + "` is no string");
      metadata_[key] = *line;
    }
  }

  // Tensors lie one after the other: no hole, no overlap, nothing behind them. Empty ones take no room.
  std::vector<const std::map<std::string, Entry>::value_type*> placed;
  for (const auto& item : entries_) {
    if (item.second.begin < item.second.end) placed.push_back(&item);
  }
  std::stable_sort(placed.begin(), placed.end(),
                   [](const auto* a, const auto* b) { return a->second.begin < b->second.begin; });
  size_t next = data_start;
  const std::string* before = nullptr;
  for (const auto* item : placed) {
    const size_t begin = item->second.begin;
    if (begin != next) {
      refuse("tensor `" + shortened(item->first) + "` begins at byte " + std::to_string(begin) + ", which " +
             (begin < next ? "overlaps" : "leaves a hole behind") + " " +
             (before ? "tensor `" + shortened(*before) + "`, which ends at byte " : "the header, which ends at byte ") +
             std::to_string(next));
    }
    next = item->second.end;
    before = &item->first;
  }
  if (next != mapping_->size) {
    refuse("the tensors end at byte " + std::to_string(next) + ", the file at byte " + std::to_string(mapping_->size));
  }
}

void SafetensorsFile::read_entry(const std::string& name, const Value& value, size_t data_start) {
  const auto refuse = [&](const std::string& what) {
    throw FormatError(path_.string() + ": tensor `" + shortened(name) + "`: " + what);
  };
  const Value* type = value.find("dtype");
  const Value* shape = value.find("shape");
  const Value* offsets = value.find("data_offsets");
  if (!type || !type->get_if<std::string>()) refuse("has no `dtype` that is a string");
  if (!shape || !shape->get_if<List>()) refuse("has no `shape` that is a list");
  if (!offsets || !offsets->get_if<List>() || offsets->get_if<List>()->size() != 2) {
    refuse("has no `data_offsets` that is a list of two numbers");
  }
  Entry entry;
  const std::string& word = *type->get_if<std::string>();
  const Type* known = find_type(word);
  if (!known) refuse("is of type " + shortened(word) + ", which is not read. There is: " + type_list());
  entry.type = known->type;

  const auto number = [&](const Value& v, const char* what) {
    const int64_t* n = v.get_if<int64_t>();
    if (!n || *n < 0) refuse(std::string(what) + " " + shortened(to_json(v)) + " is no natural number");
    return static_cast<size_t>(*n);
  };
  const size_t rank = shape->get_if<List>()->size();
  if (rank > kDimensionLimit) {
    refuse("has " + std::to_string(rank) + " dimensions, more than " + std::to_string(kDimensionLimit));
  }
  size_t bytes = c10::elementSize(entry.type);
  for (const Value& item : *shape->get_if<List>()) {
    const size_t size = number(item, "size");
    if (__builtin_mul_overflow(bytes, size, &bytes)) refuse("its size overflows");
    entry.shape.push_back(static_cast<int64_t>(size));
  }
  const size_t begin = number(offsets->get_if<List>()->at(0), "offset");
  const size_t end = number(offsets->get_if<List>()->at(1), "offset");
  const size_t room = mapping_->size - data_start;
  if (begin > end || end > room) {
    refuse("data_offsets " + std::to_string(begin) + " to " + std::to_string(end) + " lie outside the " +
           std::to_string(room) + " bytes of data");
  }
  if (end - begin != bytes) {
    refuse("shape and type take " + std::to_string(bytes) + " bytes, the data_offsets " + std::to_string(begin) +
           " to " + std::to_string(end) + " give " + std::to_string(end - begin));
  }
  entry.begin = data_start + begin;
  entry.end = data_start + end;
  entries_.emplace(name, std::move(entry));
}

std::vector<std::string> SafetensorsFile::names() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) names.push_back(name);
  return names;
}

torch::Tensor SafetensorsFile::tensor(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) throw FormatError(path_.string() + ": has no tensor `" + name + "`");
  const Entry& entry = found->second;
  const auto options = torch::TensorOptions(entry.type);
  char* data = static_cast<char*>(mapping_->data) + entry.begin;
  if (reinterpret_cast<uintptr_t>(data) % c10::elementSize(entry.type) != 0) {
    auto copy = torch::empty(entry.shape, options);
    std::memcpy(copy.data_ptr(), data, entry.end - entry.begin);
    return copy;
  }
  return torch::from_blob(
      data, entry.shape, [keep = mapping_](void*) {}, options);
}

TensorMap read_tensors(const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  TensorMap tensors;
  for (const std::string& name : file.names()) tensors[name] = file.tensor(name);
  return tensors;
}

void write_safetensors(const std::filesystem::path& path, const TensorMap& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<std::pair<size_t, std::string>> order;  // place of the type, name
  for (const auto& [name, tensor] : tensors) order.emplace_back(type_rank(tensor.scalar_type()), name);
  std::sort(order.begin(), order.end());

  // Keys in the library's own order, so that its files and ours are the same bytes.
  std::string text;
  if (!metadata.empty()) {
    Table meta;
    for (const auto& [key, value] : metadata) meta[key] = value;
    text = "\"__metadata__\":" + to_json(meta);
  }
  std::vector<torch::Tensor> parts;
  int64_t offset = 0;
  for (const auto& [place, name] : order) {
    const torch::Tensor& tensor = tensors.at(name);
    parts.push_back(tensor.detach().to(torch::kCPU).contiguous());
    const int64_t end = offset + static_cast<int64_t>(parts.back().nbytes());
    const Value shape = std::vector<int64_t>(tensor.sizes().begin(), tensor.sizes().end());
    text += (text.empty() ? "" : ",") + to_json(Value(name)) + ":{\"dtype\":\"" + kTypes[place].name +
            "\",\"shape\":" + to_json(shape) + ",\"data_offsets\":[" + std::to_string(offset) + "," +
            std::to_string(end) + "]}";
    offset = end;
  }
  text = "{" + text + "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');

  AtomicFile file(path);
  char length[8];
  for (int i = 0; i < 8; ++i) length[i] = static_cast<char>(static_cast<uint64_t>(text.size()) >> (8 * i));
  file.write(length, sizeof length);
  file.write(text.data(), text.size());
  for (const auto& part : parts) file.write(part.data_ptr(), part.nbytes());
  file.commit();
}

}  // namespace peftlab::checkpoint
