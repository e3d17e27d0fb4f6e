/* Every bound of the core that is not configuration: value, unit, reason, and where it is counted. */
#ifndef FLUO_LIMITS_H
#define FLUO_LIMITS_H

/* Bodies in memory, all connections together, in eighths of the largest size (10 MiB at 8 MiB); and that much where
 * these are small. What a large body is decoded into counts as well, inflated and in wire form, which is mostly 0.4 of
 * its JSON: one that takes more by itself, as 7 MiB of that do, is 413. It lies on top of the buffer, and is what 300 slow senders can
 * take. Past it the slowest makes room: 503, Retry-After. */
#define LIMIT_BODIES_IN_FLIGHT_EIGHTHS 10u
#define LIMIT_BODIES_IN_FLIGHT_BYTES (10u << 20)
/* And so many more for bodies of up to LIMIT_SHORT_BYTES, which SDKs send and which are gone in a moment: else one
 * large body that is being decoded has them all refused. */
#define LIMIT_BODIES_RESERVE_BYTES (2u << 20)
/* What bodies are decoded into is kept for the next one while it is no more than this (four such blocks, inflated and wire
 * form of those that wait in line and of those that do not; charged to nobody), and given back after a second in which
 * none was decoded. New pages take 0.2 ms, and where the kernel is busy 2; 700 KB of JSON are decoded in 0.3. */
#define LIMIT_SCRATCH_KEPT_BYTES (1u << 20)
/* Messages nested in a body, the request being 0. Deeper ones are no telemetry; recursion stays small. 400. */
#define LIMIT_DEPTH 64
/* Spans in one body: 8 MiB of empty spans would be 4 million. 400. */
#define LIMIT_SPANS 262144
/* Attributes, events, links, array values, scopes, resources, unknown fields, and fields that come again though they may
 * come once, in one body; where bodies may be larger than 8 MiB, one for every 16 bytes. Clients need 25 and more for
 * each. 400. */
#define LIMIT_ELEMENTS 524288u
#define LIMIT_ELEMENT_BYTES 16
/* Of these in one span, which is matched and stored in one piece: half a millisecond and more. SDKs that are told nothing
 * let 33,152 through: 128 attributes, and 128 events and 128 links of as many. Such a span is rejected
 * (fluo_receiver_refused_spans_total). */
#define LIMIT_SPAN_ELEMENTS 65536u
/* Bytes of a span's name, of its resource, of its scope: as much as a symbol may have. They are compared, and may have to
 * be kept, with each span or trace: 4 MB of resource over 20,000 spans took minutes. Rejected, too. */
#define LIMIT_SPAN_TEXT_BYTES 65536u
/* What the loop does for one body before others have their turn, as otlp_step counts: half a millisecond, one where each
 * span has a trace and a name that nobody knew. A body of up to LIMIT_SHORT_COST (an SDK's batch of 512 spans is a half)
 * is answered at once; a larger one, as sent or decoded, waits in line: it is decoded in a thread and taken in parts, one
 * such body at a time. */
#define LIMIT_PART_COST (256u << 10)
#define LIMIT_SHORT_COST (1u << 20)
#define LIMIT_SHORT_BYTES (512u << 10)
/* Elements of a body whose check goes on at once: clients need 25 bytes and more for each, so no honest one that is short has
 * so many. 30 ns each. */
#define LIMIT_SHORT_ELEMENTS 32768u
/* Bytes of chunk framing that one connection's are parsed before others have their turn. Chunks of one byte take some
 * 60 ns each; those of honest senders have some hundred bytes of framing in 64 KiB. */
#define LIMIT_FRAMES_A_TURN_BYTES 16384u
/* Bytes that are read of one connection before others have their turn, and of all those that send more than a short body
 * (LIMIT_SHORT_BYTES), or what is read past, together: an SDK's batch of 512 spans and a bit, some half a millisecond. */
#define LIMIT_READ_A_TURN_BYTES 262144u
/* Requests that came right behind another and are answered before others have their turn, all connections together: each
 * is an answer of its own, some 5 us, and 300 connections that had so many each kept the loop for 25 ms. */
#define LIMIT_REQUESTS_A_TURN 16
/* Answers to OTLP requests that the kernel holds for a peer that does not read them (it doubles this, for its own part): one
 * is a hundred bytes and more. Left to itself it takes 4 MB for each connection, and the loop answers as many requests as
 * fit there. With this it is some hundred, and then the connection is not read any more. */
#define LIMIT_UNSENT_BYTES 16384
/* Memory of the arena that goes back to the kernel when it was not used for a second, and how much of that in one turn: some
 * 0.3 ms. */
#define LIMIT_TRIM_A_SECOND_BYTES (16u << 20)
#define LIMIT_TRIM_A_TURN_BYTES (512u << 10)
/* Bytes that wait for stdout or stderr. Dropped lines are counted (fluo_output_dropped_lines_total). */
#define LIMIT_OUT_BYTES (8u << 20)
#define LIMIT_LOG_BYTES (1u << 20)
/* What the live agent writes of one rule: so many violations at once and one more each so many ns (2,000 a second), and
 * of its `log` actions 100 and ten a second. A line takes some 1.5 us, and a rule that is true of every span has half a
 * million a second; 1,000 at once are as long as a dozen requests. The rest is counted (fluo_rule_violations_total, fluo_rule_withheld_lines_total). */
#define LIMIT_RULE_LINES 1000u
#define LIMIT_RULE_LINE_NS 500000u
/* Of these a rule has some for itself, 20 at once and one a second; all else is of all rules together, 1,000 at once and
 * 4,000 a second: with its incident a line took some 10 us when a hundred rules that are true of every span took the loop. */
#define LIMIT_RULE_OWN_LINES 20u
#define LIMIT_RULE_OWN_LINE_NS 1000000000u
#define LIMIT_ALL_LINES 1000u
#define LIMIT_ALL_LINE_NS 250000u
#define LIMIT_RULE_LOG_LINES 100u
#define LIMIT_RULE_LOG_LINE_NS 100000000u
/* Between two lines of the log about what is withheld of one rule, and about errors that its functions raise: they come
 * as often as spans do. In between they are counted (also fluo_rule_errors_total). */
#define LIMIT_TOLD_NS 60000000000ull
/* How long SIGTERM waits for judgments and output. */
#define LIMIT_DRAIN_NS 5000000000ull
/* Bytes of a name, a service or a summary in a violation; what is longer is cut and ends with "…". A span's name
 * may be as long as a body, and a violation has 32 of them. */
#define LIMIT_TEXT_BYTES 4096
/* Bytes of one violation's JSON line: what is not cut is its rule's own, of a file of at most 1 MiB. */
#define LIMIT_VIOLATION_BYTES (8u << 20)
/* PCRE2 match limit of one `matches`: 0.1 to 1.2 ms at the worst; beyond it the atom is unknown. */
#define LIMIT_REGEX_MATCHES 10000
/* Of one expression, so many matches of more than a tenth of that at once, and one more each so many ns: 1 % to 6 % of a
 * processor. Past it what it is asked is unknown (fluo_rule_unknown_total). */
#define LIMIT_REGEX_LIGHT_MATCHES 1000u
#define LIMIT_REGEX_HEAVY 8u
#define LIMIT_REGEX_HEAVY_NS 20000000u
/* Questions to rule functions that wait for an answer, 52 bytes each. One body of small spans could ask for
 * millions. Past it they are unknown (fluo_shed_questions_total). */
#define LIMIT_QUESTIONS 131072u
/* Questions of one rule that wait for an answer: so many at most, fewer while nobody knows what one takes, and then no
 * more than LIMIT_BEHIND_NS of the worker's time: a rule that is too slow for its traffic loses its own answers (unknown:
 * fluo_rule_unknown_total), and neither memory nor time of the others. */
#define LIMIT_RULE_ITEMS 8192u
#define LIMIT_RULE_FIRST_ITEMS 2048u
#define LIMIT_BEHIND_NS 100000000ull
/* Of them in one job: what takes so long, and so many while nobody knows. Others wait for no more than two. */
#define LIMIT_JOB_NS 20000000ull
#define LIMIT_JOB_FIRST_ITEMS 8u
/* Judgments come in bursts as traces close: a rule's are given up when so many are out and the oldest job has waited
 * so long (fluo_shed_judgments_total). */
#define LIMIT_SLOW_ITEMS 256u
#define LIMIT_SLOW_NS 1000000000ull
/* Questions of one pattern about one span: a function of events is asked of each event that the rest of its
 * table leaves open. They travel in one job. Past it the pattern is unknown for the span
 * (fluo_rule_unknown_total). */
#define LIMIT_PATTERN_QUESTIONS 4096u
/* Whatever traces take lies within buffer.bytes_max: arena, records, tables, notes, symbols, ids of closed traces. On top
 * of it come holes in the arena (a tenth, store_parts.h), bodies in flight and output (both above), and the processes.
 * The buffer's share for symbols and for the ids of closed traces (an eighth each, within buffer.bytes_max); past them
 * fluo_symbols_refused_total and fluo_forgotten_ids_total count. Ids make room for open traces, down to an eighth of that. */
#define LIMIT_SYMBOLS_SHARE 8
#define LIMIT_REMEMBERED_SHARE 8

/* Editions of the rules alive at once: one in force, one being loaded, and two that traces from before are still judged
 * by; each has two processes. A reload past it waits until a trace's end frees one, trace.max_age and
 * trace.late at the longest. */
#define LIMIT_EDITIONS 4
/* Files and folders that the watch looks at: a directory has at most 10,000 rule files. What is beyond is not noticed, and
 * SIGHUP reloads it. */
#define LIMIT_WATCHED_ENTRIES 65536
/* A change is acted upon when it has been quiet for this long, or this long after the first one. */
#define LIMIT_SETTLE_NS 250000000ull
#define LIMIT_SETTLE_MAX_NS 2000000000ull
/* How often rule files are looked at where nothing was announced. */
#define LIMIT_RESCAN_NS 30000000000ull
/* Spans that are looked at for the causes of one trace's violations, for each span that it has: where a rule fires on
 * nearly every span of a long trace, each cause would mean all of them once more. Past it a violation says no cause, until
 * the trace is judged at its close (fluo_skipped_causes_total). 55 ns each, 330 of 100,000. */
#define LIMIT_CAUSE_VISITS 256u

/* How often the worker is woken for jobs, and the output's writer for lines: so many times at once, then once each so many
 * nanoseconds. A wake costs the loop a system call and who sleeps two changes of context, more than most of what there is to
 * do for it: what comes sooner goes together, so much later at the most. It costs time alone, so nothing counts it. */
#define LIMIT_WAKES 4u
#define LIMIT_WAKE_NS 2000000ull

/* What one reload may print: load errors and warnings. What is beyond is cut, and `fluo check` prints it all. */
#define LIMIT_DIAGNOSTICS_BYTES 65536
/* Of these, lines that the log takes; /-/reload has them all. */
#define LIMIT_DIAGNOSTICS_LINES 100

/* Notes for windows and sequences of one request, some 200 bytes each, and bytes of their groups' keys. Past them events
 * are lost (fluo_state_lost_events_total). */
#define LIMIT_ACROSS_NOTES 262144u
#define LIMIT_ACROSS_KEY_BYTES (16u << 20)
/* Hits of one trace that wait for their span's parent, 16 bytes each; every span that arrives there is compared with them.
 * Past it events are lost, counted likewise. */
#define LIMIT_TRACE_WAITS 4096u
/* A window's span may end so far behind the clock, and an event so far before it. Later ones are
 * dropped, as are steps of a sequence past its D and lateness (fluo_window_late_events_total), newer ones moved
 * (fluo_window_future_events_total). */
#define LIMIT_ACROSS_LATE_NS 30000000000ull
#define LIMIT_ACROSS_FUTURE_NS 5000000000ull

/* Clients that record at once, and what waits for each of them (and once more, while it is being sent), on top of the
 * buffer. A line is 0.5 to 2 KiB a span: at 10,000 spans/s half a second. Past it lines are lost to that client
 * (fluo_recording_lost_spans_total). */
#define LIMIT_RECORDINGS 4u
#define LIMIT_RECORDING_BYTES (4u << 20)
#define LIMIT_RECORDING_RULES 64

/* What waits to be written to the ledger, on top of the buffer. From half of it on evidence is dropped, beyond it
 * violations, and rows of other kinds where these alone fill twice as much (fluo_ledger_dropped_rows_total). */
#define LIMIT_LEDGER_QUEUE_BYTES (4u << 20)
/* How long a row waits for others of its batch: violations and incidents, which a crash may cost, for longer than what
 * somebody waits for (deliveries, silences, feedback). Four syncs a second while only the former come, else twenty. */
#define LIMIT_LEDGER_BATCH_NS 250000000ull
#define LIMIT_LEDGER_BATCH_SOON_NS 50000000ull
/* When the disk has refused rows for so long, what waits for them is let go (on_saved, held). */
#define LIMIT_LEDGER_HOLD_NS 10000000000ull
/* Queries that wait, what one may take, rows of one answer, and its bytes. */
#define LIMIT_LEDGER_QUERIES 64u
#define LIMIT_LEDGER_QUERY_NS 1000000000ull
#define LIMIT_LEDGER_ROWS 1000u
#define LIMIT_LEDGER_ANSWER_BYTES (16u << 20)
/* Rows of a kind that the start gives back. */
#define LIMIT_LEDGER_RESTORED 10000u
/* A database in memory, on top of the buffer as well: at most, and what retention brings it down to, so that a batch
 * fits. */
#define LIMIT_LEDGER_MEMORY_BYTES (12u << 20)
#define LIMIT_LEDGER_MEMORY_KEPT_BYTES (6u << 20)
/* While less of the buffer than this share is in use, attributes that no rule needs are kept as evidence; they are the
 * first to go (fluo_shed_spare_payloads_total). */
#define LIMIT_SPARE_SHARE 2
/* Evidence of one violation: spans, bytes as they are copied on the loop, spans of a trace that are looked at, and bytes
 * of its JSON, which only text that is no UTF-8 makes many times as much. What is left out is said in it. */
#define LIMIT_EVIDENCE_SPANS 1000u
#define LIMIT_EVIDENCE_BYTES (256u << 10)
#define LIMIT_EVIDENCE_LOOKED 20000u
#define LIMIT_EVIDENCE_JSON_BYTES (4u << 20)

/* Evidence that is taken at most, all violations together: copying it is the loop's work (1 ms a second), printing and
 * packing it another processor's (some 5 %). What is more goes without (fluo_ledger_withheld_evidence_total). */
#define LIMIT_EVIDENCE_BYTES_A_SECOND (1u << 20)
#define LIMIT_EVIDENCE_BURST_BYTES (8 << 20)
/* Traces of one request whose evidence waits for its end. With one more theirs is taken as they are then. */
#define LIMIT_EVIDENCE_HELD 16u

/* Deliveries that wait in memory, and their alerts. A receiver that is down for a day takes some 10 KiB each. Past it a
 * delivery is refused (fluo_notifications_refused_total): it is on disk, and tried after the next start. */
#define LIMIT_OUTBOX_DELIVERIES 4096u        /* half of them of one receiver */
#define LIMIT_OUTBOX_BYTES (16u << 20)
/* Deliveries out at once up to which a receiver may have four of them (OUTBOX_RECEIVER_IN_FLIGHT); past it, one. The post room
 * has 32 places, and eight receivers that hang had them all. It costs time alone, so nothing counts it. */
#define LIMIT_OUTBOX_SHARED 16u
/* Deliveries of one receiver that are looked at for one that may go: those before it wait for others. */
#define LIMIT_OUTBOX_LOOK 256u

/* A request of the API waits so long for the ledger, then it is refused (fluo_api_late_requests_total). Answers that their
 * clients have not fetched yet, on top of the buffer: past it they are refused (fluo_api_refused_requests_total). */
#define LIMIT_API_WAIT_NS 5000000000ull
#define LIMIT_API_ANSWER_BYTES (24u << 20)
/* Clients that follow violations and incidents at once; what waits for each, and what one that comes back has missed. Past
 * it events are lost to that client (fluo_events_lost_total), which is said in the stream. */
#define LIMIT_FOLLOWERS 8u
#define LIMIT_FOLLOW_BYTES (1u << 20)
#define LIMIT_FOLLOW_MISSED_BYTES (2u << 20)

/* Traces that `fluo explain` shows, 64 KiB of text each at most: what is more is counted on stderr. */
#define LIMIT_EXPLAINED 3
/* Bytes of a rule's name (lua/fluo/evaluate.lua). */
#define LIMIT_RULE_NAME_BYTES 256

/* Incidents that are remembered, some 1 KiB each and their newest violations: resolved ones make room first, then pending
 * ones, and when all burn what is new is refused (fluo_incidents_forgotten_total, fluo_incidents_refused_total). Of one rule so many
 * burn at once: a rule grouped by what an attacker chooses must not take the others' places. */
#define LIMIT_INCIDENTS 10000u
#define LIMIT_INCIDENT_GROUPS 1000u
/* Bytes of a rule's name and an incident's group together. */
#define LIMIT_INCIDENT_KEY_BYTES (64u << 10)
/* Texts of the newest violations, of one and of all incidents: with half of it taken an incident keeps one
 * (fluo_incidents_lost_exemplars_total). */
#define LIMIT_EXEMPLAR_BYTES (64u << 10)
#define LIMIT_EXEMPLARS_BYTES (16u << 20)
/* How often windows that stay crossed are looked for, so that their incidents go on. */
#define LIMIT_RENEW_NS 5000000000ull
/* An incident's count is said so often at most, to the ledger: a thousand violations a second are one row. */
#define LIMIT_INCIDENT_SAY_NS 1000000000ull
/* What m_of_n counts: minutes, IR_M_OF_N_MAX at most. */
#define LIMIT_M_OF_N_NS 60000000000ull
/* resolve_after doubles each time that an incident comes back, up to 16 times what it was. */
#define LIMIT_FLAPS_DOUBLED 4u
/* Of one rule: as many as it has actions. */
#define LIMIT_RULE_RECEIVERS 64u
/* Receivers, all rules together; past it an incident is refused (fluo_incidents_refused_total). */
#define LIMIT_RECEIVERS 1024u
/* Incidents shown in one notice, some 50 KiB with 8 violations each; incidents_total has the number. */
#define LIMIT_NOTICE_INCIDENTS 100u
/* Of one as JSON, for some receivers take no more: violations are left out where they do not fit. */
#define LIMIT_NOTICE_BYTES (512u << 10)
/* Silences in force: each is looked at for every incident of a notice. What is more is refused, with an answer. */
#define LIMIT_SILENCES 256u
/* One that is "until resolved" and holds nothing for so long ends. */
#define LIMIT_SILENCE_UNUSED_NS 86400000000000ull
/* Groups of windows that people have widened, less than 2 KiB each: the one marked longest ago goes
 * (fluo_feedback_evicted_groups_total). */
#define LIMIT_FEEDBACK_GROUPS 1000u
#define LIMIT_FEEDBACK_BYTES (4u << 20)
/* A list of them, for replay; refused where it is larger. */
#define LIMIT_FEEDBACK_FILE_BYTES (8u << 20)
/* Inhibitions and mute times of a configuration. */
#define LIMIT_INHIBITIONS 64u
#define LIMIT_MUTE_TIMES 64u

/* A file that replay reads, as it lies and decoded. */
#define LIMIT_FILE_BYTES (1u << 30)

/* What a body of JSON may take more in wire form than its text, for bytes that are no UTF-8 become three: all of a
 * body of 1 MiB may. 413. */
#define LIMIT_DECODED_MORE_BYTES (2u << 20)
/* A body of N bytes may become at most this many times N in the arena: a span of 30 bytes takes 80. 400. */
#define LIMIT_DECODED_FACTOR 4

/* Between two snapshots of the state of windows and sequences, from one's beginning to the next one's: with what it takes
 * to write one, a crash forgets 10 s at the most. */
#define LIMIT_SNAPSHOT_NS 8000000000ull
/* What the loop packs of a snapshot before others have their turn (some 200 us), and a block of one: a group that is larger,
 * hundreds of times what most are, is left out (fluo_snapshot_left_out_groups_total). */
#define LIMIT_SNAPSHOT_SLICE_BYTES (64u << 10)
#define LIMIT_SNAPSHOT_BLOCK_BYTES (4u << 20)
/* A snapshot, in state.bytes_max: packed, groups take a fraction of their memory, but texts that they share are written with
 * each. Groups past it are left out, counted likewise. */
#define LIMIT_SNAPSHOT_STATES 2
/* Between two lines of the log about snapshots that fail, and about those that leave groups out. */
#define LIMIT_SNAPSHOT_LINE_NS 60000000000ull

#endif
