// SPDX-License-Identifier: Apache-2.0
/*
 * How a handler reaches the next one: it returns it to a loop, with the flags in the cpu. For builds whose
 * instrumentation breaks sibling calls. dispatch_tail.h is the other choice.
 */
#pragma once

#define HANDLER(name) const struct op *name(const struct op *o, struct hw_cpu *c, u64 fres, u64 faux)
#define NEXT(to)                                                                                                       \
	do {                                                                                                           \
		c->flags = (struct hw_flags){fres, faux};                                                              \
		return (to);                                                                                           \
	} while (0)
#define CONTINUE_IN(fn, at) return fn((at), c, fres, faux)
#define LEAVE()                                                                                                        \
	do {                                                                                                           \
		c->flags = (struct hw_flags){fres, faux};                                                              \
		return NULL;                                                                                           \
	} while (0)

#define dispatch(first, cpu)                                                                                           \
	do {                                                                                                           \
		const struct op *op_ = (first);                                                                        \
		while (op_)                                                                                            \
			op_ = op_->handler(op_, (cpu), (cpu)->flags.res, (cpu)->flags.aux);                            \
	} while (0)
