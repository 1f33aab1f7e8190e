#include "report/pictures.h"

#include "report/markup.h"
#include "support/files.h"

#include <peftlab/error.h>
#include <peftlab/records.h>
#include <peftlab/value.h>

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <sstream>

namespace peftlab::report {
namespace {

const std::string kFile = "predictions_test.jsonl";
constexpr size_t kMostBytes = 200'000;

std::string text_of(const Value& line, const std::string& key) {
  const Value* value = line.find(key);
  if (!value || value->is_null()) return "";
  const std::string* plain = value->get_if<std::string>();
  return plain ? *plain : to_json(*value);
}

std::optional<double> number_of(const Value* value) {
  if (!value) return std::nullopt;
  if (const auto* whole = value->get_if<int64_t>()) return static_cast<double>(*whole);
  if (const auto* real = value->get_if<double>()) return *real;
  return std::nullopt;
}

/// Sets the picture of an example, or the reason why it is not shown.
void add_image(const std::string& path, Example& example) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    example.no_image = "the picture " + path + " is not there";
    return;
  }
  if (std::filesystem::file_size(path, error) > kMostBytes || error) {
    example.no_image = "the picture " + path + " is larger than 200 kB";
    return;
  }
  std::string bytes;
  try {
    bytes = read_text(path, kMostBytes);
  } catch (const FormatError&) {
    example.no_image = "the picture " + path + " cannot be read";
    return;
  }
  const bool png = bytes.starts_with("\x89PNG\r\n\x1a\n"), jpeg = bytes.starts_with("\xff\xd8\xff");
  if (png || jpeg) {
    example.image = std::string("data:image/") + (png ? "png" : "jpeg") + ";base64," + base64(bytes);
  } else {
    example.no_image = path + " is neither PNG nor JPEG";
  }
}

/// The data file that was tested on, to find an example's picture.
class TestData {
 public:
  explicit TestData(const store::RunDetail& run) {
    for (const store::Dataset& data : run.datasets) {
      if (data.split != "test") continue;
      file_ = data.path;
      try {
        records_.emplace(file_, Records::Watch{});
        if (records_->size() != data.n_rows) records_.reset();
      } catch (const FormatError&) {
        // It is gone, or another: then there are no pictures to show.
      }
    }
  }

  void add_image_of(int64_t number, Example& example) const {
    if (!records_) return;
    Table fields;
    try {
      fields = records_->fields(number);
    } catch (const FormatError&) {
      return;  // it changes while we look
    }
    const Value record = fields;
    const std::string name = text_of(record, "image_path") + text_of(record, "img");
    if (name.empty()) return;
    if (text_of(record, "text") + text_of(record, "label") != example.reference) {
      example.no_image = "the data file has changed since";
      return;
    }
    add_image((file_.parent_path() / name).string(), example);
  }

 private:
  std::filesystem::path file_;
  std::optional<Records> records_;
};

std::vector<Value> first_lines(const store::Store& store, const std::string& sha256, size_t limit) {
  std::istringstream lines(store.get_object(sha256));
  std::vector<Value> out;
  for (std::string line; out.size() < limit && std::getline(lines, line);) out.push_back(parse_json(line, kFile));
  return out;
}

}  // namespace

Examples read_examples(const store::Store& store, const std::vector<store::RunDetail>& runs,
                       const std::vector<std::string>& labels, const std::string& primary, size_t limit) {
  std::map<std::string, std::map<int64_t, std::string>> kept;  // label, seed, sha256
  for (const store::RunDetail& detail : runs) {
    if (detail.run.state != "finished") continue;
    for (const store::Artifact& artifact : detail.artifacts) {
      if (artifact.name == kFile) kept[detail.run.label][detail.run.seed] = artifact.sha256;
    }
  }
  Examples out;
  if (kept.empty()) return out;
  for (const auto& [seed, sha256] : kept.begin()->second) {
    const bool all =
        std::all_of(kept.begin(), kept.end(), [&, s = seed](const auto& one) { return one.second.contains(s); });
    if (all && !out.seed) out.seed = seed;
  }
  if (!out.seed) return out;
  std::optional<TestData> data;
  for (const store::RunDetail& detail : runs) {
    if (detail.run.state == "finished" && detail.run.seed == *out.seed && !data) data.emplace(detail);
  }
  for (const std::string& label : labels) {
    if (!kept.contains(label)) continue;
    const std::vector<Value> lines = first_lines(store, kept[label][*out.seed], limit);
    for (size_t i = 0; i < lines.size(); ++i) {
      const std::string prompt = text_of(lines[i], "prompt"), reference = text_of(lines[i], "reference");
      if (i == out.examples.size()) {
        out.examples.push_back({text_of(lines[i], "example"), prompt, reference, "", "", {}});
        data->add_image_of(static_cast<int64_t>(i), out.examples.back());
      }
      // A method that answered other examples (its data changed) is not put beside them.
      if (out.examples[i].prompt != prompt || out.examples[i].reference != reference) continue;
      out.examples[i].predictions.push_back(
          {label, text_of(lines[i], "prediction"), number_of(lines[i].find("item/" + primary))});
    }
  }
  return out;
}

std::string render_examples(const Examples& examples, const std::string& primary) {
  if (examples.examples.empty()) return "";
  std::string out = fmt::format(
      "<h2 id=\"examples\">Predictions</h2>\n<p class=\"note\">The first {} test examples, each method with seed "
      "{}; scores are of {} on the example alone where it scores examples.</p>\n",
      examples.examples.size(), *examples.seed, shown(primary));
  out += "<div class=\"two\">\n";
  for (const Example& example : examples.examples) {
    const bool pictured = !example.image.empty() || !example.no_image.empty();
    out += pictured ? "<div class=\"example\"><div>" : "<div class=\"example plain\">";
    if (!example.image.empty())
      out += fmt::format("<img alt=\"{}\" src=\"{}\">", shown(example.reference), example.image);
    if (!example.no_image.empty()) out += fmt::format("<p class=\"note\">{}</p>", shown(example.no_image));
    out += pictured ? "</div><div>\n" : "<div>\n";
    if (!example.prompt.empty()) out += fmt::format("<p><strong>Prompt</strong> {}</p>\n", shown(example.prompt, 600));
    HtmlTable table{"example " + example.name, {"method", "text", primary}, {false, false, true}, {}, true, "", 400};
    table.rows.push_back({{"reference", {}}, {example.reference, {}}, {"", {}}});
    for (const Prediction& one : example.predictions) {
      table.rows.push_back(
          {{one.label, {}}, {one.text, {}}, {one.score ? fmt::format("{:.4g}", *one.score) : "-", one.score}});
    }
    out += html_table(table) + "</div></div>\n";
  }
  return out + "</div>\n";
}

}  // namespace peftlab::report
