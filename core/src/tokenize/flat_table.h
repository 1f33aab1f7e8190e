#pragma once

/// \file
/// A hash table from 64-bit keys to 64-bit values that is filled once and then read.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace peftlab::tokenize {

/// Open addressing in one array, at most half full. The key 2^64 - 1 is not allowed.
class FlatTable {
 public:
  explicit FlatTable(size_t expected = 0) { reserve(expected); }

  /// Sets the value of `key`.
  void set(uint64_t key, uint64_t value) {
    if (2 * (count_ + 1) > slots_.size()) reserve(count_ + 1);
    Slot& slot = slots_[place(key)];
    count_ += slot.key == kEmpty;
    slot = {key, value};
  }

  /// The value of `key`, or nullptr.
  const uint64_t* find(uint64_t key) const {
    const Slot& slot = slots_[place(key)];
    return slot.key == kEmpty ? nullptr : &slot.value;
  }

 private:
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  struct Slot {
    uint64_t key = kEmpty, value = 0;
  };

  /// The slot of `key`, or the empty one where it belongs.
  size_t place(uint64_t key) const {
    // Fibonacci hashing: the high bits of a product with 2^64 / golden ratio are well mixed.
    size_t at = (key ^ key >> 32) * 0x9E3779B97F4A7C15u >> shift_;
    while (slots_[at].key != key && slots_[at].key != kEmpty) at = (at + 1) & (slots_.size() - 1);
    return at;
  }

  void reserve(size_t count) {
    size_t size = 16;
    int bits = 4;
    for (; size < 4 * count; size *= 2) ++bits;
    std::vector<Slot> old(size);
    old.swap(slots_);
    shift_ = 64 - bits;
    for (const Slot& slot : old) {
      if (slot.key != kEmpty) slots_[place(slot.key)] = slot;
    }
  }

  std::vector<Slot> slots_;
  size_t count_ = 0;
  int shift_ = 60;
};

/// A trie over bytes, filled once and then read.
class ByteTrie {
 public:
  /// The value of `key`, which is not empty, becomes `value`.
  template <typename Text>
  void set(const Text& key, uint32_t value) {
    uint32_t node = 0;
    for (const char c : key) {
      const uint64_t edge = uint64_t{node} << 8 | static_cast<unsigned char>(c);
      if (const uint64_t* child = edges_.find(edge)) {
        node = static_cast<uint32_t>(*child);
      } else {
        node = static_cast<uint32_t>(values_.size());
        values_.push_back(kNone);
        edges_.set(edge, node);
      }
    }
    values_[node] = value;
  }

  /// Calls visit(length, value) for each key that `text` begins with, the shortest first.
  template <typename Text, typename Visit>
  void each_prefix(const Text& text, Visit visit) const {
    uint32_t node = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      const uint64_t* child = edges_.find(uint64_t{node} << 8 | static_cast<unsigned char>(text[i]));
      if (!child) return;
      node = static_cast<uint32_t>(*child);
      if (values_[node] != kNone) visit(i + 1, values_[node]);
    }
  }

 private:
  static constexpr uint32_t kNone = ~uint32_t{0};

  FlatTable edges_;
  std::vector<uint32_t> values_ = {kNone};
};

}  // namespace peftlab::tokenize
