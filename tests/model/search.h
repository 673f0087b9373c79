// All states that can be reached, and from which of them a goal can be reached.
#pragma once
#include <utility>
#include <vector>

#include "state.h"

struct Edge {
  uint32_t from, to;
};

// Numbered states without repetition, and how each was reached first.
class States {
 public:
  static constexpr uint32_t NONE = 0xffffffffu;
  std::vector<State> all;
  std::vector<uint32_t> before;
  std::vector<const char*> how;
  std::vector<i8> who;

  States() : table(1 << 20, NONE) {}

  uint32_t add(const State& s, uint32_t from, const char* name, i8 worker) {
    uint64_t at = place(s);
    if (table[at] != NONE) return table[at];
    const uint32_t id = static_cast<uint32_t>(all.size());
    all.push_back(s);
    before.push_back(from);
    how.push_back(name);
    who.push_back(worker);
    table[at] = id;
    if (all.size() * 2 > table.size()) grow();
    return id;
  }

 private:
  std::vector<uint32_t> table;

  static uint64_t hash(const State& s) {
    const auto* byte = reinterpret_cast<const uint8_t*>(&s);
    uint64_t x = 1469598103934665603ull;
    for (size_t i = 0; i < sizeof(State); i++) x = (x ^ byte[i]) * 1099511628211ull;
    x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9ull;
    return x ^ x >> 32;
  }
  uint64_t place(const State& s) const {
    const uint64_t mask = table.size() - 1;
    uint64_t at = hash(s) & mask;
    while (table[at] != NONE && !(all[table[at]] == s)) at = (at + 1) & mask;
    return at;
  }
  void grow() {
    table.assign(table.size() * 2, NONE);
    for (uint32_t id = 0; id < all.size(); id++) table[place(all[id])] = id;
  }
};

// Which states lead to one that is a goal, along these edges.
template <class Goal>
std::vector<char> leads_to(const std::vector<State>& states, const std::vector<Edge>& edges, Goal goal) {
  std::vector<uint32_t> first(states.size() + 1, 0), from(edges.size()), todo;
  for (const Edge& e : edges) first[e.to + 1]++;
  for (size_t i = 1; i < first.size(); i++) first[i] += first[i - 1];
  std::vector<uint32_t> next(first);
  for (const Edge& e : edges) from[next[e.to]++] = e.from;
  std::vector<char> leads(states.size(), 0);
  const auto found = [&](uint32_t id) {
    if (!leads[id]) leads[id] = 1, todo.push_back(id);
  };
  for (uint32_t id = 0; id < states.size(); id++)
    if (goal(states[id])) found(id);
  while (!todo.empty()) {
    const uint32_t id = todo.back();
    todo.pop_back();
    for (uint32_t i = first[id]; i < first[id + 1]; i++) found(from[i]);
  }
  return leads;
}
