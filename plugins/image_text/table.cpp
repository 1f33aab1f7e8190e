#include "table.h"

#include <peftlab/error.h>
#include <peftlab/records.h>

#include <algorithm>

namespace peftlab::image_text {
namespace {

/// The names a row's parts go by in this file.
struct Names {
  const char* image;
  const char* text;
};
constexpr Names kNames[] = {{"image_path", "text"}, {"img", "label"}};
constexpr const char* kWanted = "wanted are image_path and text, or img and label, and perhaps prompt";

/// Which names are in use, given what is there; nullptr if none are.
template <typename Has>
const Names* find_names(Has has) {
  for (const Names& names : kNames) {
    if (has(names.image) && has(names.text)) return &names;
  }
  return nullptr;
}

class Reader {
 public:
  explicit Reader(std::string file) : file_(std::move(file)) {}

  void see_header(const std::vector<std::string>& columns, int64_t line) {
    is_csv_ = true;
    const auto has = [&](const char* name) { return std::find(columns.begin(), columns.end(), name) != columns.end(); };
    if (!find_names(has)) fail(line, "has the columns " + joined(columns) + "; " + kWanted);
  }

  Row row_of(const Table& fields, int64_t line) const {
    const Names* names = find_names([&](const char* name) { return fields.contains(name); });
    if (!names) {
      std::vector<std::string> keys;
      for (const auto& [key, unused] : fields) keys.push_back(key);
      fail(line, "has the keys " + joined(keys) + "; " + kWanted);
    }
    const auto text = [&](const char* name) {
      const std::string* found = fields.at(name).get_if<std::string>();
      if (!found) fail(line, std::string(name) + " must be a string, found " + std::string(type_name(fields.at(name))));
      return *found;
    };
    Row row{line, text(names->image), text(names->text), std::nullopt};
    const auto prompt = fields.find("prompt");
    if (prompt != fields.end() && !prompt->second.is_null()) row.prompt = text("prompt");
    // CSV has no other way to leave a prompt out.
    if (is_csv_ && row.prompt && row.prompt->empty()) row.prompt.reset();
    if (row.image_path.empty()) fail(line, "names no picture: its path is empty");
    return row;
  }

 private:
  [[noreturn]] void fail(int64_t line, const std::string& what) const {
    throw FormatError(file_ + ":" + std::to_string(line) + ": " + what);
  }

  std::string file_;
  bool is_csv_ = false;
};

}  // namespace

std::vector<Row> read_table(const std::filesystem::path& file,
                            const std::function<void(std::string_view bytes)>& see_bytes) {
  Reader reader(file.string());
  std::vector<Row> rows;
  Records::Watch watch;
  watch.header = [&](const std::vector<std::string>& columns, int64_t line) { reader.see_header(columns, line); };
  watch.record = [&](const Table& fields, int64_t line) { rows.push_back(reader.row_of(fields, line)); };
  watch.bytes = see_bytes;
  const Records records(file, watch);
  return rows;
}

}  // namespace peftlab::image_text
