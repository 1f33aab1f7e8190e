#include <peftlab/value.h>

#include <peftlab/error.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace peftlab {
namespace {

constexpr size_t kMaxDepth = 64;

/// The length of the UTF-8 sequence at the start of `s` (well-formed, no surrogates, nothing overlong), or 0.
size_t utf8_length(std::string_view s) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(s[i]); };
  const unsigned char b = byte(0);
  const size_t n = b < 0x80 ? 1 : b < 0xC2 ? 0 : b < 0xE0 ? 2 : b < 0xF0 ? 3 : b < 0xF5 ? 4 : 0;
  if (n == 0 || n > s.size()) {
    return 0;
  }
  for (size_t i = 1; i < n; ++i) {
    if ((byte(i) & 0xC0) != 0x80) {
      return 0;
    }
  }
  const bool overlong_or_surrogate = (b == 0xE0 && byte(1) < 0xA0) || (b == 0xED && byte(1) > 0x9F) ||
                                     (b == 0xF0 && byte(1) < 0x90) || (b == 0xF4 && byte(1) > 0x8F);
  return overlong_or_surrogate ? 0 : n;
}

void write_string(const std::string& s, std::string& out) {
  static constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  for (size_t i = 0; i < s.size();) {
    const size_t n = utf8_length(std::string_view(s).substr(i));
    if (n == 0) {
      throw FormatError("text that is not UTF-8 cannot be written as JSON (byte " + std::to_string(i + 1) + " of " +
                        std::to_string(s.size()) + ")");
    }
    static constexpr std::string_view kSpecial = "\"\\\b\f\n\r\t";
    static constexpr std::string_view kLetters = "\"\\bfnrt";
    const char c = s[i];
    if (const size_t special = kSpecial.find(c); special != std::string_view::npos) {
      out += '\\';
      out += kLetters[special];
    } else if (n == 1 && static_cast<unsigned char>(c) < 0x20) {
      out += "\\u00";
      out += kHex[(c >> 4) & 0xF];
      out += kHex[c & 0xF];
    } else {
      out.append(s, i, n);
    }
    i += n;
  }
  out += '"';
}

void write_real(double v, std::string& out) {
  if (!std::isfinite(v)) {
    out += std::isnan(v) ? "\"nan\"" : v > 0 ? "\"inf\"" : "\"-inf\"";
    return;
  }
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, v).ptr;
  const std::string_view text(digits, static_cast<size_t>(end - digits));
  out += text;
  if (text.find_first_of(".e") == std::string_view::npos) {
    out += ".0";
  }
}

void write(const Value& value, std::string& out) {
  if (value.is_null()) {
    out += "null";
  } else if (const auto* b = value.get_if<bool>()) {
    out += *b ? "true" : "false";
  } else if (const auto* i = value.get_if<int64_t>()) {
    out += std::to_string(*i);
  } else if (const auto* r = value.get_if<double>()) {
    write_real(*r, out);
  } else if (const auto* s = value.get_if<std::string>()) {
    write_string(*s, out);
  } else if (const auto* list = value.get_if<List>()) {
    const char* separator = "[";
    for (const Value& item : *list) {
      out += std::exchange(separator, ",");
      write(item, out);
    }
    out += list->empty() ? "[]" : "]";
  } else if (const auto* table = value.get_if<Table>()) {
    const char* separator = "{";
    for (const auto& [key, item] : *table) {
      out += std::exchange(separator, ",");
      write_string(key, out);
      out += ':';
      write(item, out);
    }
    out += table->empty() ? "{}" : "}";
  }
}

/// Walks over text and counts what was read, so that an event can be placed.
struct CountingIterator {
  using difference_type = std::ptrdiff_t;
  using value_type = char;
  using pointer = const char*;
  using reference = const char&;
  using iterator_category = std::input_iterator_tag;

  reference operator*() const { return *at; }
  CountingIterator& operator++() {
    ++at;
    *read += 1;
    return *this;
  }
  bool operator==(const CountingIterator& other) const { return at == other.at; }
  bool operator!=(const CountingIterator& other) const { return at != other.at; }

  const char* at;
  size_t* read;
};

/// Builds a Value from the parser's events; the checks JSON leaves open (keys twice, depth) are made here.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  Builder(std::string_view text, const std::string& origin, const size_t& read)
      : text_(text), origin_(origin), read_(read) {}

  Value take() { return std::move(root_); }

  bool null() override { return put(Value()); }
  bool boolean(bool v) override { return put(v); }
  bool number_integer(int64_t v) override { return put(v); }
  bool number_unsigned(uint64_t v) override {
    // Files in the wild hold integers beyond 64 bits (a tokenizer's "no limit"); they read as real numbers.
    return v <= uint64_t{std::numeric_limits<int64_t>::max()} ? put(static_cast<int64_t>(v))
                                                              : put(static_cast<double>(v));
  }
  bool number_float(double v, const std::string&) override { return put(v); }
  bool string(std::string& v) override { return put(std::move(v)); }
  bool binary(nlohmann::json::binary_t&) override { return false; }  // text has none
  bool start_object(size_t) override { return open(Table()); }
  bool end_object() override { return close(); }
  bool start_array(size_t) override { return open(List()); }
  bool end_array() override { return close(); }

  bool key(std::string& name) override {
    auto& table = std::get<Table>(open_.back()->data);
    const auto [entry, is_new] = table.try_emplace(std::move(name));
    if (!is_new) {
      fail(read_, "the key \"" + entry->first + "\" is there twice");
    }
    next_ = &entry->second;
    return true;
  }

  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& e) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: what": the place is told in our own way.
    std::string what = e.what();
    for (const char* prefix : {"] ", ": "}) {
      const size_t at = what.find(prefix);
      if (at != std::string::npos && (prefix[0] == ']' || what.starts_with("parse error at"))) {
        what = what.substr(at + 2);
      }
    }
    fail(read_, what);
  }

 private:
  [[noreturn]] void fail(size_t bytes, const std::string& what) const {
    // The parser has read the offending character when it speaks.
    const std::string_view before = text_.substr(0, std::min(bytes > 0 ? bytes - 1 : 0, text_.size()));
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const std::string_view on_line = before.substr(before.rfind('\n') + 1);
    const auto column = 1 + std::count_if(on_line.begin(), on_line.end(), [](char c) { return (c & 0xC0) != 0x80; });
    throw FormatError(origin_ + ":" + std::to_string(line) + ":" + std::to_string(column) + ": not JSON: " + what);
  }

  Value* slot() {
    if (open_.empty()) {
      return &root_;
    }
    if (auto* list = std::get_if<List>(&open_.back()->data)) {
      return &list->emplace_back();
    }
    return next_;
  }

  bool put(Value v) {
    *slot() = std::move(v);
    return true;
  }

  bool open(Value v) {
    if (open_.size() == kMaxDepth) {
      fail(read_, "nested deeper than " + std::to_string(kMaxDepth));
    }
    Value* const place = slot();
    *place = std::move(v);
    open_.push_back(place);
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  std::string_view text_;
  const std::string& origin_;
  const size_t& read_;
  Value root_;
  std::vector<Value*> open_;  // the chain of open lists and tables; only the last one grows, so pointers stay good
  Value* next_ = nullptr;     // where the value of the key just read goes
};

}  // namespace

Value::Value(const std::vector<std::string>& v) : data(List(v.begin(), v.end())) {}
Value::Value(const std::vector<int64_t>& v) : data(List(v.begin(), v.end())) {}

const Value* Value::find(const std::string& key) const {
  const auto* table = get_if<Table>();
  if (table == nullptr) {
    return nullptr;
  }
  const auto entry = table->find(key);
  return entry == table->end() ? nullptr : &entry->second;
}

bool operator==(const Value& a, const Value& b) { return a.data == b.data; }

std::string_view type_name(const Value& value) {
  static constexpr std::string_view kNames[] = {"null",     "a boolean", "an integer", "a real number",
                                                "a string", "a list",    "a table"};
  return kNames[value.data.index()];
}

std::string to_json(const Value& value) {
  std::string out;
  write(value, out);
  return out;
}

Value parse_json(std::string_view text, const std::string& origin) {
  size_t read = 0;
  Builder builder(text, origin, read);
  const CountingIterator begin{text.data(), &read};
  const CountingIterator end{text.data() + text.size(), &read};
  nlohmann::json::sax_parse(begin, end, &builder);
  return builder.take();
}

}  // namespace peftlab
