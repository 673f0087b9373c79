// Switches, one for each rule, the size of a run, and the faults that may happen in it.
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

// 1: the rule as it is; 0: without it, or as in brackets. A rule that is off must show up as a violation;
// test_delivery_model.py says in which run.
#define RULES(X)                                                                                                       \
  X(mark_then_ack, 1, "hand-off marks the row, then acks (0: acks, then marks)")                                       \
  X(interrupted_is_written, 1, "an interrupted attempt is written to the row (0: only a nack)")                        \
  X(resume, 1, "a row that names me and an attempt that I do not hold is started (0: adopted into nothing)")           \
  X(reconcile, 1, "heartbeats compare rows and memory, both ways")                                                     \
  X(reread, 1, "a write whose reply was lost is followed by a look at the row (0: the claim counts as lost)")          \
  X(leftovers, 1, "a leftover is acked (0: it is sent again). Holds without: fewer messages with it")                  \
  X(busy_drops_handed_off, 1, "so is a delivery of a task that runs and is handed off. Holds without, like that")      \
  X(own_message, 1, "the row's own message is no leftover")                                                            \
  X(move_next_check, 1, "a wake-up moves the row's next look")                                                            \
  X(wake_orphans, 1, "maintenance wakes every running row of a dead worker (0: claims those handed off)")            \
  X(cancel_wins, 1, "a cancel wins at claim, rescue, retry and giving back")                                           \
  X(unseen_ends, 1, "the message of a task that was cancelled unseen ends there (0: it begins, as if there was no row)") \
  X(completes_once, 1, "… and completes the row, so that a copy is a duplicate (0: each copy owes a callback)")        \
  X(attempt_grows, 1, "a retry by hand keeps the attempt (0: begins at 0)")                                            \
  X(budget_of_failures, 1, "failures spend retries (0: attempts do)")                                                  \
  X(trust, 1, "whoever has just started, or lapsed, judges nobody's lease")                                            \
  X(one_copy, 1, "a second copy at its owner is acked while the first lives (0: takes its place)")                     \
  X(wake_interrupted, 1, "giving back what was handed off publishes a wake-up and leaves it handed off")                \
  X(retry_keeps_handed_off, 1, "`retrying` leaves handed_off as it was (0: clears it before the delayed message is confirmed)")  \
  X(refused_delay_hands_off, 1, "a delayed message that is refused sets handed_off before the ack")                             \
  X(own_lease_first, 1, "whoever has no live lease claims nothing")                                                    \
  X(send_then_ack, 1, "what is sent anew is published, then acked (0: acked, then published)")                         \
  X(spare_unstarted, 1, "rescuing a claim ahead spends no crash")                                                      \
  X(rescue_is_not_ahead, 1, "… and the new claim is not ahead (0: it is)")                                             \
  X(slot_for_rescue, 1, "a rescue, or a resume of a claim that is not ahead, waits unclaimed for its slot")            \
  X(start_under_lease, 1, "a waiting claim starts under a live lease, compared with its row since the last lapse")     \
  X(fenced_mark, 1, "the mark of a start is fenced by attempt and worker (0: by task)")                                \
  X(unclaim_is_free, 1, "giving back a claim that never started is no interruption")                                   \
  X(unclaim_is_written, 1, "… and is written to the row (0: only a nack). Holds without: it is quicker with it")       \
  X(mark_start, 1, "a start is marked after a while. Holds without: a long run's death counts at once with it")        \
  X(slot_after_crash, 1, "a row with crashes waits unclaimed for its slot. Holds without: it guards the others")        \
  X(suspect_alone, 1, "what may have ended a process of several tasks has the next one to itself (0: shares it, too)") \
  X(wake_beside_suspect, 1, "a suspect's wake-up is acked while another message waits. Holds without: fewer of them")   \
  X(park_under_lock, 1, "a task is parked where its type is paused as the row says now (0: as was heard before)")      \
  X(parked_is_handed_off, 1, "what is parked is handed off")                                                           \
  X(forget_last, 1, "a pause is forgotten when nothing of it is parked any more (0: when it is over)")                 \
  X(looked_for_again, 1, "what comes back of a pause is looked for, should its wake-up get lost (0: it is not)")           \
  X(unconfirmed_is_handed_off, 1, "a row that is there before its message is handed off until that is confirmed")      \
  X(publish_then_note, 1, "a message is published, then noted as confirmed (0: noted, then published)")                \
  X(fenced_note, 1, "that is noted in a row that nobody has written since (0: in any that waits)")                     \
  X(fenced_withdrawal, 1, "so it is with taking the row back, where the broker refuses the message")                   \
  X(confirmed_is_unlooked, 1, "nobody looks for a row whose message is confirmed. Holds without: fewer wake-ups with it")

#define SIZES(X)                                                                                                       \
  X(faults, 2, "at most so many")                                                                                      \
  X(slots, 2, "of each worker, which holds two attempts of the task at most")                                          \
  X(ahead, 1, "claims beyond those that have a slot; 0: nothing is claimed ahead")                                     \
  X(max_retries, 1, "worker.max_retries")                                                                              \
  X(max_crashes, 2, "worker.max_crashes")                                                                              \
  X(patience, 0, "interruptions, after which each also counts as a crash; 0: none does")                               \
  X(messages, 9, "a branch with more of them is cut off, and the result says so")                                      \
  X(early, 1, "how often maintenance may find a row overdue that has a message")                                       \
  X(deferred, 0, "1: the task is not due when it comes")                                                               \
  X(submitted, 0, "1: its producer writes the row before it publishes")                                                \
  X(hand_off, 1, "0: attempts are too short for it")                                                                   \
  X(sent_anew, 1, "0: no delivery waits too long for its slot, or comes back unstarted")                               \
  X(free_shutdowns, 0, "1: shutdowns are no faults")                                                                   \
  X(poison, 0, "1: whenever the task runs, it kills its worker; 2: its process, which others share")                   \
  X(poison_per_fault, 2, "so many more starts of a poison each fault may bring")                                       \
  X(trace, 1, "0: no path to a violation is printed")                                                                  \
  X(first, 0, "1: ends at the first violation")                                                                        \
  X(states, 40000000, "gives up at so many")

#define FAULTS(X)                                                                                                      \
  X(crash) X(pause) X(disconnect) X(cut_off) X(outage) X(claim_lost) X(write_lost) X(delayed_twice) X(delayed_dropped)     \
  X(produced_twice) X(cancel) X(shutdown) X(retried) X(delayed_refused) X(unclaim) X(type_paused)                        \
  X(submitter_dies) X(publish_refused) X(neighbour)

#define FIELD(name, value, meaning) int name = value;
inline struct { RULES(FIELD) } rule;
inline struct { SIZES(FIELD) } size;
#undef FIELD
#define FIELD(name) bool name = true;
inline struct { FAULTS(FIELD) } may;  // happen
#undef FIELD

[[noreturn]] inline void usage(int code) {
#define LINE(name, value, meaning) printf("%-24s %9d  %s\n", #name, value, meaning);
  RULES(LINE) SIZES(LINE)
#undef LINE
#define WORD(name) " " #name
  puts("only=FAULT,FAULT                    no others may happen, of:" FAULTS(WORD));
#undef WORD
  exit(code);
}

// NAME=VALUE …; whatever is unknown prints what there is.
inline void read_settings(int count, char** words) {
  for (int i = 1; i < count; i++) {
    const std::string word = words[i], name = word.substr(0, word.find('='));
    const std::string value = word.size() > name.size() ? word.substr(name.size() + 1) : "";
    bool known = name == "only";
#define SET(group, field) \
  if (name == #field) known = true, group.field = atoi(value.c_str());
#define RULE(field, value, meaning) SET(rule, field)
#define SIZE(field, value, meaning) SET(size, field)
    RULES(RULE) SIZES(SIZE)
#define MAY(field) may.field = ("," + value + ",").find("," #field ",") != std::string::npos;
    if (name == "only") { FAULTS(MAY) }
#undef SET
#undef RULE
#undef SIZE
#undef MAY
    if (!known) usage(name == "help" ? 0 : 2);
  }
}
