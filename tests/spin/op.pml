/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One operation and everything that races to end it.
 *
 *	App	submits the operation and waits for its one completion; may die
 *	Rival	another thread of the same process: cancels, closes, unpublishes
 *		or shuts down while the operation is on its way
 *	Reader	the library's receiving side: frames strictly in order
 *	Daemon	the loop thread; every step is atomic, as in the real loop
 *	Worker	a job that cannot be stopped; it owns a read range until it ends
 *
 * Checked: an accepted operation gets exactly one completion, a refused one
 * none; when a cancel, close or shutdown says it is done, the completion has
 * been posted; a worker never writes where the caller or another operation
 * may look; nobody waits for ever (no invalid end state).
 *
 * -DFAULT_ANSWER_FIRST makes the daemon answer a cancel before it sends the
 * completion, -DFAULT_NO_CLAIM makes the library complete without removing
 * its record, -DFAULT_FREE_RANGE frees a range that a worker still writes:
 * each must be found.
 */

mtype = { SUBMIT, ACK, COMPLETE, REPLY, CANCEL_ONE, CANCEL_ALL, CLOSE,
	UNPUBLISH, SESSION_END };
mtype = { R_OK, R_FAILED, R_TIMEOUT, R_ABORTED, R_INVALIDATED, R_REFUSED,
	R_NOT_FOUND, R_UNAVAILABLE, R_NONE };

/* One stream socket: what was sent before a death can still be read. */
chan to_daemon = [2] of { mtype };
chan to_client = [6] of { mtype, mtype };
bool daemon_up = true;
bool client_up = true;

/* The application's view. */
byte posted = 0;	/* completions delivered */
mtype posted_code = R_NONE;
bool freed = false;	/* OVERLAPPED and buffer given back to the heap */
bool submit_returned = false;
mtype submit_code = R_NONE;
bool rival_returned = false;
mtype rival_code = R_NONE;
bool rival_waits = false;

/* The library's pending record. */
bool record = false;
bool record_accepted = false;

/* The daemon's operation, job and read range. */
bool live = false;
bool handle_open = true;
bool policy_on = true;
bool job = false;	/* a worker runs for the operation */
bool job_returned = false;
bool range_used = false;

/* Claim by removal; the caller's memory is written only in between. */
inline lib_complete(code)
{
	if
	:: record ->
#ifndef FAULT_NO_CLAIM
		record = false;
#endif
		assert(!freed);
		posted++;
		assert(posted == 1);
		posted_code = code
	:: else
	fi
}

/* Detach, then tell.  A range stays the daemon's while a worker has it. */
inline op_end(code)
{
	live = false;
#ifdef FAULT_FREE_RANGE
	range_used = false;
#else
	if
	:: !job -> range_used = false
	:: else
	fi;
#endif
	to_client ! COMPLETE, code
}

inline daemon_abort_and_answer()
{
	if
	:: live ->
#ifdef FAULT_ANSWER_FIRST
		to_client ! REPLY, R_OK;
		op_end(R_ABORTED)
#else
		op_end(R_ABORTED);
		to_client ! REPLY, R_OK
#endif
	:: else -> to_client ! REPLY, R_NOT_FOUND
	fi
}

inline daemon_close_and_answer()
{
	handle_open = false;
	if
	:: live -> op_end(R_ABORTED)
	:: else
	fi;
	to_client ! REPLY, R_OK
}

active proctype App()
{
	/* The record is entered before the request is sent. */
	atomic {
		record = true;
		if
		:: daemon_up -> to_daemon ! SUBMIT
		:: else -> record = false; submit_code = R_UNAVAILABLE;
			submit_returned = true
		fi
	}
	if
	:: submit_returned
	:: atomic { client_up && !submit_returned ->
ev_owner_lost:	client_up = false; record = false }; goto dead
	fi;
	if
	:: submit_code == R_OK ->
		if
		:: posted == 1 -> freed = true
		:: atomic { client_up -> client_up = false; record = false };
			goto dead
		fi
	:: else -> freed = true
	fi;
	/* All is over: let everything else run out, then count. */
	(rival_returned && !daemon_up || rival_returned && !live &&
		empty(to_client) && empty(to_daemon));
	assert(!record);
	assert(submit_code != R_OK || posted == 1);
	assert(submit_code == R_OK || posted == 0);
dead:	skip
}

active proctype Rival()
{
	mtype what = CANCEL_ONE;

	if
	:: what = CANCEL_ONE
	:: what = CANCEL_ALL
	:: what = CLOSE
	:: what = UNPUBLISH
	:: what = SESSION_END
	:: rival_returned = true; goto out
	fi;
	atomic {
		if
		:: client_up && daemon_up -> rival_waits = true;
			to_daemon ! what
		:: else -> rival_returned = true; goto out
		fi
	}
	(rival_returned || !client_up);
	atomic {
		if
		:: client_up && rival_code == R_OK ->
			/* Posted before the answer, whoever looks first; an
			 * operation submitted after it was refused. */
			if
			:: what == CANCEL_ONE || what == CANCEL_ALL ->
				assert(posted == 1)
			:: else -> assert(!record_accepted || posted == 1)
			fi
		:: else
		fi
	}
out:	skip
}

active proctype Reader()
{
	mtype frame, code;
end:
	do
	:: !client_up -> break
	:: atomic { client_up && nempty(to_client) ->
		to_client ? frame, code;
		if
		:: frame == ACK && code == R_OK ->
			record_accepted = true;
			submit_code = R_OK;
			submit_returned = true
		:: frame == ACK && code != R_OK ->
			record = false;
			submit_code = code;
			submit_returned = true
		:: frame == COMPLETE -> lib_complete(code)
		:: frame == REPLY ->
			rival_code = code;
			rival_waits = false;
			rival_returned = true
		fi }
	:: atomic { client_up && !daemon_up && empty(to_client) ->
		/* Connection lost: operations first, then calls. */
		if
		:: record && record_accepted -> lib_complete(R_INVALIDATED)
		:: record && !record_accepted ->
			record = false;
			submit_code = R_UNAVAILABLE;
			submit_returned = true
		:: else
		fi;
		if
		:: rival_waits ->
			rival_waits = false;
			rival_code = R_UNAVAILABLE;
			rival_returned = true
		:: else
		fi;
		(submit_returned && !record) }; break
	od
}

active proctype Daemon()
{
	mtype frame;
end:
	do
	:: atomic { daemon_up && client_up && nempty(to_daemon) ->
		to_daemon ? frame;
		if
		:: frame == SUBMIT && policy_on && handle_open ->
			live = true;
			range_used = true;
			to_client ! ACK, R_OK;
			if
			:: job = true
			:: skip
			fi
		:: frame == SUBMIT && !(policy_on && handle_open) ->
			to_client ! ACK, R_REFUSED
		:: frame == CANCEL_ONE ->
ev_cancel_one:		daemon_abort_and_answer()
		:: frame == CANCEL_ALL ->
ev_cancel_all:		daemon_abort_and_answer()
		:: frame == CLOSE ->
ev_handle_close:	daemon_close_and_answer()
		:: frame == UNPUBLISH ->
ev_unpublish:		daemon_close_and_answer()
		:: frame == SESSION_END ->
ev_session_end:		daemon_close_and_answer()
		fi }
	:: atomic { daemon_up && live && !job ->
ev_source_done:	op_end(R_OK) }
	:: atomic { daemon_up && live ->
ev_source_failed: op_end(R_FAILED) }
	:: atomic { daemon_up && live ->
ev_timeout:	op_end(R_TIMEOUT) }
	:: atomic { daemon_up && live ->
ev_admin_cancel: op_end(R_ABORTED) }
	:: atomic { daemon_up && policy_on ->
ev_policy_off:	policy_on = false;
		if
		:: live -> op_end(R_INVALIDATED)
		:: else
		fi }
	:: atomic { daemon_up && job_returned ->
		/* Tells its operation, or nobody. */
ev_job_result:	job_returned = false;
		job = false;
		if
		:: live -> op_end(R_OK)
		:: else -> range_used = false
		fi }
	:: atomic { daemon_up && !client_up && live ->
		/* Abandoned: same detaching, no message. */
		live = false;
		if
		:: !job -> range_used = false
		:: else
		fi }
	:: atomic { daemon_up ->
ev_daemon_death: daemon_up = false; live = false; job = false; break }
	od
}

active proctype Worker()
{
end:
	do
	:: atomic { daemon_up && job && !job_returned ->
		assert(range_used);
		job_returned = true }
	:: !daemon_up -> break
	od
}
