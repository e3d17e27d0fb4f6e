/* A thread beside the loop, for work that takes long and touches nothing but its job. */
#ifndef FLUO_ASIDE_H
#define FLUO_ASIDE_H

struct aside;
struct uv_loop_s;

/* The thread starts with the first work; it is nicer to others than the loop. 0 or a negative fluo_err. */
int aside_new(struct uv_loop_s *loop, struct aside **out);
/* Runs work(job) there and then, in a later turn of the loop, done(job); one at a time. The job stays until then.
 * Where there is no thread, the work is done here. */
void aside_run(struct aside *a, void (*work)(void *job), void (*done)(void *job), void *job);
/* Nothing may be under way. Ends the thread; a is freed in a later turn of the loop. NULL is fine. */
void aside_close(struct aside *a);

#endif
