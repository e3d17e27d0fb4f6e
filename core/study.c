/* The core's side of the study: jobs and replies, and the limits. (How its processes live and die is in
 * study_life.c.)
 *
 * Good path: study_send queues the job. What waits is sent when the owner hands it over, and, to a worker that has others
 * still, after each reply, while fewer than STUDY_UNANSWERED_MAX are out. A reply belongs to the one that was sent first;
 * it is read whole, checked whole, handed on by callback, and the job freed.
 *
 * Ways it fails: the worker dies or is killed, or says nonsense: what it had answered completely counts, the
 * rest goes again to the next worker, the job that ran without the rule to blame. Jobs with nothing left to
 * ask are answered "unknown" when their turn comes, questions past STUDY_WAITING_MAX at the next turn. When
 * the rule process cannot be had again every job is answered "unknown". So each job is answered once.
 *
 * One epoll descriptor stands for both sockets and for an eventfd, which is readable when an answer waits
 * that no process has to give; so the owner polls one descriptor for life. */
#include "study.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "err.h"
#include "heap.h"
#include "study_inside.h"

const char *study_fault_text(enum study_fault f) {
  switch (f) {
    case STUDY_FAULT_CPU: return "it ran for too long";
    case STUDY_FAULT_MEMORY: return "it took too much memory";
    case STUDY_FAULT_CRASH: return "the worker died";
    case STUDY_FAULT_NONSENSE: return "the worker spoke nonsense";
    case STUDY_FAULT_STALL: return "the worker made no progress";
  }
  return "unknown";
}

/* ---- answering ----------------------------------------------------------------------------------- */

static void call_back(struct study *s, struct study_job *job) {
  if (job->head.message == FLUO_MESSAGE_ASK) s->calls.on_answers(s->calls.ctx, job, s->reply->answers);
  else s->calls.on_verdicts(s->calls.ctx, job, s->reply->verdicts);
  study_job_free(job);
}

static void answer_unknown(struct study *s, struct study_job *job) {
  study_reply_unknown(job, s->reply);
  call_back(s, job);
}

/* Jobs in front that nobody has to be asked about. */
static void answer_idle(struct study *s) {
  while (s->queue.head && !s->queue.head->left) answer_unknown(s, study_queue_pop(&s->queue));
}

static void answer_shed(struct study *s) {
  while (s->shed) {
    struct study_job *job = s->shed;
    s->shed = job->next;
    answer_unknown(s, job);
  }
}

/* What comes back of a ping belongs to no job. It came in order, so that jobs behind it are not answered yet. */
static bool take_ping(struct study *s, size_t n) {
  struct fluo_reply reply;
  if (n != sizeof reply) return false;
  memcpy(&reply, s->inbox, sizeof reply);
  if (reply.message != FLUO_MESSAGE_REPLY || reply.sequence != s->ping || reply.count || reply.notes) return false;
  s->ping = 0;
  s->stats.pings++;
  s->replies_of_worker++;
  return true;
}

bool study_take(struct study *s, size_t n) {
  if (s->ping) return take_ping(s, n);
  answer_idle(s);
  struct study_job *job = study_queue_running(&s->queue);
  if (!job || !study_reply_read(s->inbox, n, job, ruleset_ir(s->rules)->rules, s->reply)) return false;
  const uint8_t *cursor = s->reply->notes;
  s->stats.replies++;
  s->stats.heap_bytes = (uint64_t)s->reply->heap_kib << 10;
  s->replies_of_worker++;
  s->barren = 0;
  for (uint32_t i = 0; i < s->reply->notes_count; i++) {
    struct study_note note = study_reply_note(&cursor);
    s->stats.errors += note.errors;
    s->calls.on_error(s->calls.ctx, note.rule, note.errors, note.text, note.bytes);
  }
  job->took_ns = s->reply->cpu_ns;
  call_back(s, study_queue_pop(&s->queue));
  return true;
}

/* ---- sending ------------------------------------------------------------------------------------- */

/* Sends what may be sent. A full socket is no trouble: there are replies to come, and after each we try
 * again. A broken one is seen when it is read. */
static void pump(struct study *s) {
  struct study_job *job;
  while (s->worker.pid && s->queue.sent < STUDY_UNANSWERED_MAX && (job = study_queue_next(&s->queue))) {
    size_t n = study_job_message(job, s->outbox);
    if (send(s->worker.fd, s->outbox, n, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
      study_queue_mark(&s->queue);
      s->stats.jobs++;
    } else if (errno == EMSGSIZE) {
      job->left = 0;                                     /* this kernel takes no such message, ever */
      s->stats.given_up++;
    } else {
      return;
    }
  }
}

/* Makes study_fd readable if an answer waits that no process has to give. */
static void wake(struct study *s) {
  bool wanted = s->shed || (s->queue.head && !s->queue.head->left);
  uint64_t one = 1;
  if (wanted == s->awake) return;
  ssize_t n = wanted ? write(s->wake_fd, &one, sizeof one) : read(s->wake_fd, &one, sizeof one);
  if (n == sizeof one) s->awake = wanted;
}

static void shed(struct study *s, struct study_job *job) {
  job->left = 0;
  job->next = NULL;
  if (s->shed) s->shed_last->next = job;
  else s->shed = job;
  s->shed_last = job;
  s->stats.shed++;
}

static void blame_quarantined(struct study *s, struct study_job *job) {
  for (uint32_t i = 0; s->blame.quarantined && i < s->blame.count; i++)
    if (s->blame.records[i].quarantined) study_job_blame(job, s->rules, s->blame.records[i].rule);
}

void study_send(struct study *s, struct study_job *job) {
  bool ask = job->head.message == FLUO_MESSAGE_ASK;
  assert(s->rules && (ask || job->head.message == FLUO_MESSAGE_JUDGE));
  assert(job->head.count && job->head.count <= (uint32_t)(ask ? FLUO_JOB_ITEMS_MAX : FLUO_JOB_RULES_MAX));
  job->head.sequence = ++s->sequence;
  if (s->options.explain) job->head.flags |= FLUO_JOB_EXPLAIN;
  job->blamed = NULL;
  job->took_ns = 0;
  job->left = s->lost ? 0 : job->head.count;
  if (ask && s->queue.waiting >= STUDY_WAITING_MAX) {
    shed(s, job);
  } else {
    blame_quarantined(s, job);
    study_queue_push(&s->queue, job);
  }
  wake(s);
}

void study_hand_over(struct study *s) {
  pump(s);
}

bool study_waits(const struct study *s) {
  return s->worker.pid && s->queue.unsent && !s->queue.sent;
}

/* ---- reading ------------------------------------------------------------------------------------- */

/* At most as many replies as can be out: a callback that sends must not keep the owner here for ever. */
static void on_worker(struct study *s) {
  for (int i = 0; i < STUDY_UNANSWERED_MAX && s->worker.pid; i++) {
    ssize_t n = recv(s->worker.fd, s->inbox, FLUO_MESSAGE_BYTES_MAX, MSG_DONTWAIT | MSG_TRUNC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) study_drop_worker(s, STUDY_ENDED);
    else if (n > FLUO_MESSAGE_BYTES_MAX || !study_take(s, (size_t)n)) study_drop_worker(s, STUDY_BABBLED);
    if (s->queue.sent) pump(s);
  }
}

void study_readable(struct study *s, uint64_t mono_ns) {
  struct epoll_event events[3];
  s->now_ns = mono_ns;
  int n = epoll_wait(s->epoll_fd, events, 3, 0);
  for (int i = 0; i < n; i++) {
    if (events[i].data.u32 == STUDY_TAG_CONTROL) study_on_control(s);
    if (events[i].data.u32 == STUDY_TAG_WORKER) on_worker(s);
  }
  answer_shed(s);
  answer_idle(s);
  wake(s);
}

/* ---- limits and signs of life -------------------------------------------------------------------- */

static uint64_t since(const struct study *s, uint64_t then_ns) {
  return s->now_ns > then_ns ? s->now_ns - then_ns : 0;
}

static void watch_rules(struct study *s, uint64_t gap_ns) {
  s->waited_ns += gap_ns;
  if ((s->state == STUDY_FORKING || s->state == STUDY_PINGED) && s->waited_ns > STUDY_SILENCE_NS) {
    study_drop_rules(s, FLUO_ETIMEOUT, "the rule process does not answer");
  } else if (s->state == STUDY_LOADING &&
             (study_cpu_ns(s->process.pid) > s->options.load_cpu_ns || s->waited_ns > STUDY_LOAD_NS)) {
    bool wall = s->waited_ns > STUDY_LOAD_NS;
    int n = snprintf(s->why, sizeof s->why, "loading the rules took over %.3g s%s",
                     (double)(wall ? STUDY_LOAD_NS : s->options.load_cpu_ns) / 1e9, wall ? "" : " of CPU time (a loop?)");
    study_say_place(s, n);
    study_drop_rules(s, FLUO_ETIMEOUT, s->why);
  }
}

/* Time without any progress, by the worker's clock as by ours. */
static void watch_progress(struct study *s, uint64_t call, uint64_t cpu_ns, uint64_t gap_ns) {
  struct study_watch *w = &s->watch;
  bool same = call == w->call && s->replies_of_worker == w->replies;
  if (!same) w->cpu_from_ns = cpu_ns;
  w->idle_ns = !same || cpu_ns != w->cpu_ns ? 0 : w->idle_ns + gap_ns;
  w->call = call;
  w->replies = s->replies_of_worker;
  w->cpu_ns = cpu_ns;
}

static void watch_worker(struct study *s, uint64_t gap_ns) {
  struct study_watch *w = &s->watch;
  watch_progress(s, __atomic_load_n(&s->pulse->call, __ATOMIC_RELAXED), study_cpu_ns(s->worker.pid), gap_ns);
  if (!s->queue.sent && !s->ping) w->idle_ns = 0;
  else if (w->cpu_ns - w->cpu_from_ns >= s->options.cpu_ns) study_drop_worker(s, STUDY_OVERRAN);
  else if (s->options.wall_clock && w->idle_ns >= s->options.wall_ns) study_drop_worker(s, STUDY_STALLED);
}

void study_tick(struct study *s, uint64_t mono_ns) {
  study_readable(s, mono_ns);
  /* A gap between two looks counts as two ticks at most: it may be us who stood still, or had nothing to look at. */
  uint64_t gap_ns = since(s, s->ticked_ns);
  if (gap_ns > 2 * STUDY_TICK_NS) gap_ns = 2 * STUDY_TICK_NS;
  s->ticked_ns = mono_ns;
  watch_rules(s, gap_ns);
  if (s->worker.pid) watch_worker(s, gap_ns);
  else study_want_worker(s);                                                /* the last try failed */
  wake(s);
}

/* A ping that cannot be sent goes to a socket that has ended, which is read next. */
static void ping_worker(struct study *s) {
  struct fluo_job ping = {.message = FLUO_MESSAGE_PING, .sequence = ++s->sequence};
  s->watch.idle_ns = 0;
  if (send(s->worker.fd, &ping, sizeof ping, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) s->ping = ping.sequence;
}

void study_ping(struct study *s, uint64_t mono_ns) {
  s->now_ns = mono_ns;
  if (since(s, s->pinged_ns) < STUDY_PING_NS) return;
  s->pinged_ns = mono_ns;
  if (s->worker.pid && !s->queue.sent && !s->ping) ping_worker(s);
  study_ping_rules(s);
}

/* ---- opening and closing ------------------------------------------------------------------------- */

int study_poll_add(struct study *s, int fd, enum study_tag tag) {
  struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)tag};
  return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? FLUO_EIO : 0;
}

static int open_descriptors(struct study *s) {
  s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (s->epoll_fd < 0 || s->wake_fd < 0) return FLUO_EIO;
  int err = study_poll_add(s, s->wake_fd, STUDY_TAG_WAKE);
  return err ? err : study_map_pulse(&s->pulse_fd, &s->pulse);
}

static int copy_options(struct study *s, const struct study_options *options) {
  s->options = *options;
  s->options.exe = options->exe ? heap_strdup(options->exe) : NULL;
  s->options.rules_path = heap_strdup(options->rules_path);
  s->options.specs = options->specs ? heap_strdup(options->specs) : NULL;
  if (!s->options.cpu_ns) s->options.cpu_ns = STUDY_CALL_CPU_NS;
  if (!s->options.wall_ns) s->options.wall_ns = STUDY_WALL_NS;
  if (!s->options.load_cpu_ns) s->options.load_cpu_ns = STUDY_LOAD_CPU_NS;
  if (!s->options.heap_bytes) s->options.heap_bytes = STUDY_HEAP_BYTES;
  s->inbox = heap_alloc(FLUO_MESSAGE_BYTES_MAX);
  s->outbox = heap_alloc(FLUO_MESSAGE_BYTES_MAX);
  s->reply = heap_alloc(sizeof *s->reply);
  bool copied = s->options.rules_path && (s->options.exe || !options->exe) && (s->options.specs || !options->specs);
  return copied && s->inbox && s->outbox && s->reply ? 0 : FLUO_ENOMEM;
}

static uint64_t monotonic_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int study_start(const struct study_options *options, const struct study_calls *calls, struct study **out,
                char why[256]) {
  struct study *s = heap_zalloc(sizeof *s);
  why[0] = '\0';
  if (!s) {
    close(options->arena_fd);
    return FLUO_ENOMEM;
  }
  s->calls = *calls;
  s->epoll_fd = s->wake_fd = s->pulse_fd = s->ir_fd = s->fork_fd = s->texts_fd = -1;
  s->process.fd = s->worker.fd = -1;
  s->ir_key = hash_key_random();
  s->opening = true;
  s->now_ns = s->wanted_ns = monotonic_ns();
  int err = copy_options(s, options);
  if (!err) err = open_descriptors(s);
  if (!err && (err = study_start_rules(s)) != 0)
    snprintf(why, 256, "the rule process cannot be started: %s", strerror(errno));
  if (err) {
    if (!why[0]) snprintf(why, 256, "%s", err_text(err));
    study_close(s);
    return err;
  }
  *out = s;
  return 0;
}

int study_opened(struct study *s, void **ir, size_t *ir_bytes, char why[256]) {
  assert(s->opening);
  if (s->failure) {
    snprintf(why, 256, "%s", s->why[0] ? s->why : err_text(s->failure));
    return s->failure;
  }
  if (!s->worker.pid) return 1;
  s->opening = false;
  *ir = s->ir;
  *ir_bytes = s->ir_bytes;
  s->ir = NULL;
  return 0;
}

void study_use(struct study *s, const struct ruleset *rules) {
  s->rules = rules;
}

void study_inherit(struct study *s, const struct study *before) {
  for (uint32_t i = 0; i < before->blame.count; i++) {
    const struct study_record *record = &before->blame.records[i];
    uint32_t rule = ruleset_unchanged(s->rules, before->rules, record->rule);
    if (rule != UINT32_MAX) study_blame_take(&s->blame, rule, record);
  }
}

static void close_fd(int fd) {
  if (fd >= 0) close(fd);
}

void study_close(struct study *s) {
  struct study_job *job;
  if (!s) return;
  study_end(&s->worker);
  study_end(&s->process);
  study_end_group(s->state == STUDY_FORKING ? s->pgid : 0);
  while ((job = study_queue_pop(&s->queue))) study_job_free(job);
  while ((job = s->shed)) {
    s->shed = job->next;
    study_job_free(job);
  }
  if (s->pulse) munmap(s->pulse, sizeof *s->pulse);
  const int fds[] = {s->epoll_fd, s->wake_fd, s->pulse_fd, s->ir_fd, s->fork_fd, s->texts_fd, s->options.arena_fd};
  for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) close_fd(fds[i]);
  study_blame_deinit(&s->blame);
  heap_free((void *)(uintptr_t)s->options.exe);
  heap_free((void *)(uintptr_t)s->options.rules_path);
  heap_free((void *)(uintptr_t)s->options.specs);
  heap_free(s->inbox);
  heap_free(s->outbox);
  heap_free(s->reply);
  heap_free(s->ir);
  heap_free(s);
}

/* ---- looking ------------------------------------------------------------------------------------- */

int study_texts(const struct study *s) {
  return s->texts_fd;
}

int study_fd(const struct study *s) {
  return s->epoll_fd;
}

bool study_busy(const struct study *s) {
  bool awaited = s->state == STUDY_LOADING || s->state == STUDY_PINGED || s->state == STUDY_FORKING;
  return s->queue.head || s->shed || s->ping || awaited || (!s->worker.pid && !s->lost);
}

bool study_is_lost(const struct study *s) {
  return s->lost;
}

uint32_t study_load_errors(const struct study *s) {
  return s->load_errors;
}

uint32_t study_give_up(struct study *s, uint32_t rule) {
  uint32_t n = study_queue_give_up(&s->queue, rule);
  if (n) wake(s);
  return n;
}

uint64_t study_waiting_since(const struct study *s) {
  return s->queue.head ? s->queue.head->sent_ns : UINT64_MAX;
}

bool study_quarantined(const struct study *s, uint32_t rule) {
  return study_blame_quarantined(&s->blame, rule);
}

void study_stats_get(const struct study *s, struct study_stats *out) {
  *out = s->stats;
}

int study_worker_pid(const struct study *s) {
  return s->worker.pid;
}

int study_rules_pid(const struct study *s) {
  return s->process.pid;
}
