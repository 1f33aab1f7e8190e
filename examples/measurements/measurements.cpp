/// Measurements: a table of numbers, as sentences that a language model reads.
///
///     temperature (C),humidity (%),weather
///     21.5,40,sunny                               "temperature 21.5 C, humidity 40 %."  ->  "sunny"
///
/// The file is CSV with a header line. A column's unit stands behind its name in parentheses, and may be left out. The
/// last column is what is to be answered; all others are measured, and must hold numbers, which are written into the
/// prompt as they stand in the file.
///
/// The file is gone through once, when it is opened, so that everything that is wrong with it is heard of before
/// training starts; after that a record is read when it is asked for. Quoting as in RFC 4180 is nothing numbers need;
/// it is read all the same, for that is how peftlab::Records reads CSV.

#include <peftlab/dataset.h>
#include <peftlab/error.h>
#include <peftlab/params.h>
#include <peftlab/plugin.h>
#include <peftlab/records.h>
#include <peftlab/sample.h>

#include <openssl/evp.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <memory>
#include <string_view>

namespace peftlab {
namespace {

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) { EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr); }
  void add(std::string_view bytes) { EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()); }
  std::string hex() {
    unsigned char digest[32];
    EVP_DigestFinal_ex(context_.get(), digest, nullptr);
    std::string text;
    for (const unsigned char byte : digest) text += {"0123456789abcdef"[byte >> 4], "0123456789abcdef"[byte & 15]};
    return text;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

/// `text` without the white space around it.
std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpaces);
  return first == std::string_view::npos ? "" : text.substr(first, text.find_last_not_of(kSpaces) - first + 1);
}

bool is_number(std::string_view text) {
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && std::isfinite(value);
}

/// A column of numbers: "temperature (C)".
struct Quantity {
  /// Throws: FormatError if `column` is no name, or a name and a unit in parentheses.
  explicit Quantity(const std::string& column) : column(column) {
    const std::string_view text = trimmed(column);
    const size_t open = text.find('('), close = text.find(')');
    name = trimmed(text.substr(0, open));
    const bool has_unit = open != std::string_view::npos;
    if (has_unit && close == text.size() - 1) unit = trimmed(text.substr(open + 1, close - open - 1));
    if (!name.empty() && has_unit == !unit.empty() && (has_unit || close == std::string_view::npos)) return;
    throw FormatError("column \"" + column + "\" must be a name, or a name and a unit, such as \"temperature (C)\"");
  }

  std::string column;  ///< as the header has it
  std::string name;
  std::string unit;  ///< empty where there is none
};

class Measurements final : public Dataset {
 public:
  explicit Measurements(Params& p)
      : names_(p.get_optional<std::vector<std::string>>(
            "columns", "names of the measured columns that the prompt shows, in this order; all if left out")),
        ending_(p.get("ending", ".", "stands behind the last measurement: what the prompt ends with")) {
    p.check(!names_ || !names_->empty(), "columns", "must name at least one column");
  }

  void open(const std::filesystem::path& file, const std::optional<ImageSpec>&) override {
    if (file.extension() != ".csv") {
      throw FormatError(file.string() + ": ends in \"" + file.extension().string() + "\"; read is .csv");
    }
    Sha256 sum;
    const auto at_line = [&](int64_t line, const auto& read) {
      try {
        read();
      } catch (const FormatError& error) {
        throw FormatError(file.string() + ":" + std::to_string(line) + ": " + error.what());
      }
    };
    Records::Watch watch;
    watch.bytes = [&](std::string_view bytes) { sum.add(bytes); };
    watch.header = [&](const auto& columns, int64_t line) { at_line(line, [&] { see_header(columns); }); };
    watch.record = [&](const Table& fields, int64_t line) { at_line(line, [&] { read_row(fields); }); };
    records_.emplace(file, watch);
    fingerprint_ = sum.hex();
  }

  int64_t size() const override { return records_->size(); }
  Example example(int64_t index) const override { return read_row(records_->fields(index)); }
  std::string place(int64_t index) const override { return records_->place(index); }
  std::string fingerprint() const override { return fingerprint_; }

  static std::filesystem::path write_sample(const std::filesystem::path& folder) {
    return sample_file(folder / "sample.csv",
                       "temperature (C),humidity (%),wind,weather\n21.5,40,2,sunny\n8,95,3.5,rain\n-4.25,80,0,snow\n");
  }

 private:
  void see_header(const std::vector<std::string>& columns) {
    if (columns.size() < 2) {
      throw FormatError("has the columns " + joined(columns) +
                        "; wanted are at least one that is measured, and one to be answered behind it");
    }
    answer_ = columns.back();
    std::vector<Quantity> measured;
    for (size_t i = 0; i + 1 < columns.size(); ++i) measured.emplace_back(columns[i]);
    if (!names_) {
      shown_ = measured_ = measured;
      return;
    }
    std::vector<std::string> known;
    for (const Quantity& quantity : measured) known.push_back(quantity.name);
    for (const std::string& name : *names_) {
      const auto found = std::find(known.begin(), known.end(), name);
      if (found == known.end()) {
        throw FormatError("`columns` names \"" + name + "\", which is not measured here. " + suggestion(name, known));
      }
      shown_.push_back(measured[static_cast<size_t>(found - known.begin())]);
    }
    measured_ = measured;
  }

  /// A record as an example. Throws: FormatError naming the column that is not what it must be.
  Example read_row(const Table& fields) const {
    const auto text = [&](const std::string& column) {
      const std::string_view value = trimmed(*fields.at(column).get_if<std::string>());
      if (value.empty()) throw FormatError("column \"" + column + "\" is empty");
      return value;
    };
    for (const Quantity& quantity : measured_) {
      const std::string_view value = text(quantity.column);
      if (is_number(value)) continue;
      throw FormatError("column \"" + quantity.column + "\" must be a number such as -3.5 or 1e6, found \"" +
                        std::string(value) + "\"");
    }
    Example example;
    for (const Quantity& quantity : shown_) {
      if (!example.prompt.empty()) example.prompt += ", ";
      example.prompt.append(quantity.name).append(" ").append(text(quantity.column));
      if (!quantity.unit.empty()) example.prompt.append(" ").append(quantity.unit);
    }
    example.prompt += ending_;
    example.target = text(answer_);
    return example;
  }

  std::optional<std::vector<std::string>> names_;
  std::string ending_;
  std::vector<Quantity> measured_;  ///< in the file's order
  std::vector<Quantity> shown_;     ///< those of them that prompts hold, in theirs
  std::string answer_;              ///< the last column
  std::optional<Records> records_;
  std::string fingerprint_;
};

}  // namespace

PEFTLAB_PLUGIN(Dataset, Measurements, "measurements", "a CSV of numbers with units as sentences, and a word to answer",
               "an example", "")

}  // namespace peftlab
