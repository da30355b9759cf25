/* SPDX-License-Identifier: BSD-2-Clause */
/* What an origin's answers mean for whoever wants to use the branch: what is
 * found, in plain words, and what can be done about it. */
#ifndef CTL_FINDINGS_H
#define CTL_FINDINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "ctl/origin.h"

/* In the order in which they are told. */
enum finding {
	FINDING_ABSENT,  /* 404, 410 */
	FINDING_REFUSED, /* 401, 403, 407 */
	FINDING_STATUS,  /* any other that is not 200 */
	FINDING_REDIRECTED,
	FINDING_NOT_SPOKEN,
	FINDING_SMALL,
	FINDING_MAKING,
	FINDING_MADE,
	FINDING_PLAIN,
	FINDING_OLD_HTTP,
	FINDING_CACHED,
	FINDING_ACCEPT_STRIPPED,
	FINDING_CODING_STRIPPED,
	FINDING_OTHER_CODING,
	FINDING_NO_VALIDATOR,
	FINDING_WEAK_VALIDATOR,
	FINDING_NO_VARY,
	FINDING_LARGE,
	FINDING_BAD_INFO,
	FINDING_MISFIT,
	FINDING_NO_RANGES,
	FINDING_NO_SERVICE,
	_FINDING_MAX,
};

enum finding_info { /* of the content information that came */
	FINDING_INFO_GOOD,
	FINDING_INFO_BAD,
	FINDING_INFO_MISFIT,
};

struct findings_input {
	const struct origin_answer *content;
	const struct origin_answer *hash;  /* NULL: was not asked for */
	const struct origin_answer *range; /* NULL: was not asked for */
	enum finding_info info;
};

/* Bit n stands for finding n. */
uint32_t findings_of(const struct findings_input *);

const char *finding_name(enum finding);
const char *finding_words(enum finding);
const char *finding_remedy(enum finding);
/* Content does not come from the branch as it should, for that. */
bool finding_is_problem(enum finding);

#endif
