#pragma once

/// \file
/// Runs as rows of a table, shared by the commands that show them.

#include "report/table.h"
#include "store/records.h"
#include "store/rows.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace peftlab::cli {

/// A cell of what may be unknown.
template <typename T>
store::Cell cell_of(const std::optional<T>& value) {
  return value ? store::Cell(*value) : store::Cell();
}

/// Every field of a run, named as in the view v_runs.
store::Rows run_rows(const std::vector<store::RunRow>& runs);

/// What is known of one thing, by name.
using Facts = std::vector<std::pair<std::string, store::Cell>>;

/// Prints facts: a line for each that is known, or one row with all of them for the other formats.
void print_facts(const Facts& facts, report::Format format);

/// One row as facts. Requires: it has one.
Facts facts_of(const store::Rows& one);

/// "2026-03-01 14:05:09" in UTC; nothing where it is unknown.
std::string time_text(const std::optional<int64_t>& milliseconds);

/// The first line of a message.
std::string first_line(const std::string& text);

}  // namespace peftlab::cli
