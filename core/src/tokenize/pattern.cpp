#include "tokenize/pattern.h"

#include "tokenize/utf8.h"

#include <peftlab/error.h>

#include <fmt/format.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace peftlab::tokenize {

struct Pattern::Compiled {
  ~Compiled() { pcre2_code_free(code); }

  pcre2_code* code = nullptr;
  std::string where;
};

namespace {

std::string message_of(int error) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(error, buffer, sizeof buffer);
  return reinterpret_cast<const char*>(buffer);
}

/// What one thread needs to search: the place for results, and a stack that grows for long texts.
struct Scratch {
  Scratch()
      : data(pcre2_match_data_create(1, nullptr)),
        context(pcre2_match_context_create(nullptr)),
        stack(pcre2_jit_stack_create(32 << 10, 64 << 20, nullptr)) {
    pcre2_jit_stack_assign(context, nullptr, stack);
    pcre2_set_match_limit(context, 100'000'000);
  }
  ~Scratch() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(stack);
  }

  pcre2_match_data* data;
  pcre2_match_context* context;
  pcre2_jit_stack* stack;
};

}  // namespace

Pattern Pattern::of_text(const std::string& literal) {
  Pattern pattern;
  pattern.literal_ = literal;
  return pattern;
}

Pattern Pattern::of_expression(const std::string& expression, const std::string& where) {
  const std::string translated = translate_pattern(expression, where);
  int error = 0;
  PCRE2_SIZE place = 0;
  auto compiled = std::make_shared<Compiled>();
  compiled->where = where;
  pcre2_compile_context* context = pcre2_compile_context_create(nullptr);
  pcre2_set_newline(context, PCRE2_NEWLINE_LF);
  compiled->code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &place, context);
  pcre2_compile_context_free(context);
  if (!compiled->code) {
    throw FormatError(
        fmt::format("{}: the expression \"{}\" cannot be used: {}", where, expression, message_of(error)));
  }
  // Where there is no compiler for the processor, the interpreter does the same more slowly.
  pcre2_jit_compile(compiled->code, PCRE2_JIT_COMPLETE);
  Pattern pattern;
  pattern.compiled_ = std::move(compiled);
  return pattern;
}

std::vector<Stretch> Pattern::cut(std::string_view text) const {
  if (text.empty()) return {{0, 0, false}};
  std::vector<Stretch> stretches;
  size_t covered = 0;
  const auto add = [&](size_t begin, size_t end) {
    if (covered != begin) stretches.push_back({covered, begin, false});
    stretches.push_back({begin, end, true});
    covered = end;
  };
  if (!compiled_) {
    for (size_t at = 0; (at = text.find(literal_, at)) != text.npos; at += literal_.size()) {
      add(at, at + literal_.size());
    }
  } else {
    static thread_local const Scratch scratch;
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    // An empty find right behind the last one is passed over, as Oniguruma's iterator does.
    size_t last_end = text.npos;
    for (size_t at = 0; at <= text.size();) {
      const int found =
          pcre2_match(compiled_->code, subject, text.size(), at, PCRE2_NO_UTF_CHECK, scratch.data, scratch.context);
      if (found == PCRE2_ERROR_NOMATCH) break;
      if (found < 0) {
        throw FormatError(fmt::format("{}: the expression cannot be searched for in a text of {} bytes: {}",
                                      compiled_->where, text.size(), message_of(found)));
      }
      const PCRE2_SIZE* place = pcre2_get_ovector_pointer(scratch.data);
      const size_t begin = place[0], end = place[1];
      if (begin == end && begin == last_end) {
        if (at >= text.size()) break;
        at += code_point_length(text[at]);
        continue;
      }
      add(begin, end);
      last_end = end;
      at = end;
    }
  }
  if (covered != text.size()) stretches.push_back({covered, text.size(), false});
  return stretches;
}

}  // namespace peftlab::tokenize
