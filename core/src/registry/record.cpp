#include "registry/record.h"

#include <peftlab/error.h>
#include <peftlab/plugin.h>

#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <memory>
#include <sstream>

namespace peftlab::registry {
namespace {

constexpr size_t kLongestRecord = 4096;

/// A file open for reading, closed at the end.
struct OpenFile {
  explicit OpenFile(const std::filesystem::path& path) : number(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~OpenFile() {
    if (number >= 0) close(number);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  int number;
};

/// The section's bytes; empty if there is none.
std::string section_text(Elf* elf) {
  size_t names = 0;
  if (elf_getshdrstrndx(elf, &names) != 0) return "";
  for (Elf_Scn* section = elf_nextscn(elf, nullptr); section; section = elf_nextscn(elf, section)) {
    GElf_Shdr header;
    if (!gelf_getshdr(section, &header) || header.sh_type == SHT_NOBITS) continue;
    const char* name = elf_strptr(elf, names, header.sh_name);
    if (!name || std::string(name) != PEFTLAB_RECORD_SECTION) continue;
    const Elf_Data* data = elf_rawdata(section, nullptr);
    if (!data || !data->d_buf) return "";
    const std::string text(static_cast<const char*>(data->d_buf), std::min(data->d_size, kLongestRecord));
    return text.substr(0, text.find('\0'));
  }
  return "";
}

uint32_t number_of(const std::string& text) {
  uint32_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

bool is_name(const std::string& name) {
  if (name.empty() || name.size() > 64) return false;
  return std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-'; });
}

}  // namespace

Record read_record(const std::filesystem::path& path) {
  const OpenFile file(path);
  if (file.number < 0) throw PluginError("it cannot be read");
  elf_version(EV_CURRENT);
  const std::unique_ptr<Elf, int (*)(Elf*)> elf(elf_begin(file.number, ELF_C_READ, nullptr), elf_end);
  GElf_Ehdr header;
  if (!elf || elf_kind(elf.get()) != ELF_K_ELF || !gelf_getehdr(elf.get(), &header) || header.e_type != ET_DYN) {
    throw PluginError("it is no shared library");
  }
  const std::string text = section_text(elf.get());
  if (text.empty()) {
    throw PluginError("it has no record (section " PEFTLAB_RECORD_SECTION
                      "): it is no peftlab plugin, or was built for a plugin ABI before 6, and this peftlab has ABI " +
                      std::to_string(kAbi));
  }
  Record record;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t space = line.find(' ');
    if (space == std::string::npos) continue;
    const std::string key = line.substr(0, space), value = line.substr(space + 1);
    if (key == "abi") record.abi = number_of(value);
    if (key == "cxx11_abi") record.cxx11_abi = number_of(value);
    if (key == "torch") record.torch = value;
    if (key == "compiler") record.compiler = value;
    if (key == "kind") record.kind = value;
    if (key == "name") record.name = value;
  }
  return record;
}

std::string record_problem(const Record& record) {
  if (record.abi != kAbi) {
    return "it was built for plugin ABI " + std::to_string(record.abi) + ", this peftlab has ABI " +
           std::to_string(kAbi) + ": build it again with this peftlab's headers";
  }
  if (record.torch != TORCH_VERSION) {
    return "it was built with LibTorch " + (record.torch.empty() ? "(unknown)" : record.torch) +
           ", this peftlab runs with " TORCH_VERSION;
  }
  if (record.cxx11_abi != _GLIBCXX_USE_CXX11_ABI) {
    return "it was built with _GLIBCXX_USE_CXX11_ABI=" + std::to_string(record.cxx11_abi) + ", this peftlab with " +
           std::to_string(_GLIBCXX_USE_CXX11_ABI);
  }
  if (record.kind != "Model" && record.kind != "Dataset" && record.kind != "Method" && record.kind != "Metric") {
    return "it is of the unknown kind `" + record.kind + "`; there are Model, Dataset, Method and Metric";
  }
  if (!is_name(record.name)) return "its name `" + record.name + "` is not made of letters, digits, - and _";
  return "";
}

}  // namespace peftlab::registry
