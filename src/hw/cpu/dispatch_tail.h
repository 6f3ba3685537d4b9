// SPDX-License-Identifier: Apache-2.0
/*
 * How a handler reaches the next one: by a sibling call, with the flags in argument registers. dispatch_loop.h is the
 * other choice; the build picks one (option `dispatch`).
 */
#pragma once

#define HANDLER(name) void name(const struct op *o, struct hw_cpu *c, u64 fres, u64 faux)
#define NEXT(to)                                                                                                       \
	do {                                                                                                           \
		const struct op *next_ = (to);                                                                         \
		return next_->handler(next_, c, fres, faux);                                                           \
	} while (0)
/* The same instruction (or link) in another handler. */
#define CONTINUE_IN(fn, at) return fn((at), c, fres, faux)
/* Back to hw_cpu_run(). */
#define LEAVE()                                                                                                        \
	do {                                                                                                           \
		c->flags = (struct hw_flags){fres, faux};                                                              \
		return;                                                                                                \
	} while (0)

static inline void dispatch(const struct op *o, struct hw_cpu *c)
{
	o->handler(o, c, c->flags.res, c->flags.aux);
}
