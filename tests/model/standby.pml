/* standby.pml - who claims the writer's epoch, when, and why (PROTOCOL.md "Standby and failover", "Commit", Take-over).
 *
 * NP processes on two nodes (0 and 2 are processes of one node).  Each is started by a person as a writer, or stands by.
 * A claim once sent lands at any later moment while the manifest still is the one it was built on, or never; its sender
 * has to look.  Every process may stop between any two steps, for any time or for ever, and goes on as if nothing had
 * happened.  The log is what log.pml shows of it: an epoch acknowledges until it is sealed.  Time is a count of ticks; a
 * heartbeat lands whenever it likes, or never.
 *
 * Checked:
 *  S0 an epoch is one process's
 *  S1 nothing is acknowledged in an epoch once a newer one has acknowledged something
 *  S2 a read with freshness F is answered by who was the newest writer F ago
 *  S3 a take-over by time follows a silence of the whole wait, of the writer that is taken over from
 *  S4 none is by time from a writer that has not undertaken a heartbeat
 *  S5 nobody claims without a reason: a start by a person, a wish, a release, or silence
 *  S6 a wish is obeyed once, by the node it names, while it stands
 *  S7 a release is followed by one take-over for its sake
 *  S8 and by none where no heartbeat is set
 *  S9 only a claim that has won stops a writer
 *
 * Sizes -DNP=processes -DNE=epochs -DSW=commits of settings and wishes -DREADS (with S2's reads)
 * Variants that must be safe:
 *  -DLOOK1  one look without news at the end of the wait instead of three: the others are against stores and machines that
 *           were away, not for any of these properties
 *  -DPATIENT the wait goes on when heartbeat_kept changes: the first heartbeat of a new pace comes before its promise
 * Mutations that must be caught:
 *  -DX1  a look that failed counts as one that found nothing new
 *  -DX2  the wait does not begin anew when the epoch changes
 *  -DX3  goes by the setting, not by what the writer has undertaken
 *  -DX4  the claim is re-applied to another manifest as long as the epoch is the same, whatever became of its reason
 *  -DX5  a fenced writer claims again by itself
 *  -DX6  a claim does not remove the wish
 *  -DX7  any standby obeys a wish
 *  -DX8  the claim is re-applied on top of another one's
 *  -DX9  a claim is taken for ours by the node id
 *  -DX10 serves without having sealed
 *  -DX11 reads without a probe
 *  -DX12 takes a released database where no heartbeat is set
 *  -DX13 seals before its claim has won
 *  -DX14 undertakes a heartbeat before the first one is there
 * -DJUST=property looks at no other one.
 */
#ifndef NP
#define NP 2
#endif
#ifndef NE
#define NE 3
#endif
#ifndef SW
#define SW 2
#endif
#define NODE(p) ((p) % 2)
#define NONE 255
#define WAIT 3			/* ticks: max(failover_after, 3 x heartbeat_kept) */
#ifdef LOOK1
#define LOOKS 1
#else
#define LOOKS 3
#endif
#define F 1			/* ticks */

/* The properties: what an assertion that fails prints.  A bit is set where that one is not to be looked at. */
bit S0, S1, S2, S3, S4, S5, S6, S7, S8, S9, SEEN;
#define CHECK(name, what) assert((what) || name)

/* the manifest */
byte m_ep;			/* writer epoch; 0: nobody has claimed yet */
byte m_nonce;			/* process + 1; 0: released */
byte m_node = NONE;
byte m_wish = NONE;
bit m_hb = 1, m_kept;		/* the setting; what the writer has undertaken */
/* the log */
byte sealed;			/* epochs below it are sealed */
/* claims under way */
#define PERSON 1
#define WISH 2
#define RELEASE 3
#define SILENCE 4
#define ITSELF 5
byte why[NP], expect[NP];
/* the standbys */
byte since[NP];			/* ticks since its wait began */
bit news[NP];			/* the heartbeat's count is above the highest it has seen */
bit beaten;			/* a heartbeat of this epoch has landed */
/* ghosts */
byte owner[NE + 1];		/* process that won the epoch, + 1 */
byte acked;			/* the highest epoch that has acknowledged something */
byte silence;			/* ticks since the writer last showed life, claimed or undertook a heartbeat */
byte wishes, releases = 1;	/* not yet followed by a take-over for their sake */
byte switches;			/* commits of settings, wishes */
#ifdef READS
byte age[NP];			/* ticks since its last probe began */
byte late[NP];			/* ticks since a newer epoch acknowledged something, + 1 */
byte ep_of[NP];
#endif

/* May p's claim be built on the manifest as it is? */
#ifdef X12
#define RELEASED (m_nonce == 0)
#else
#define RELEASED (m_nonce == 0 && m_hb)
#endif
#ifdef X7
#define WISHED(p) (m_wish != NONE)
#else
#define WISHED(p) (m_wish == NODE(p))
#endif
#ifdef X3
#define PROMISED (m_hb && m_nonce != 0)
#else
#define PROMISED (m_kept && m_nonce != 0)
#endif
#ifdef X4
#define REASON(p) true
#else
#define REASON(p) (why[p] == PERSON || why[p] == ITSELF || why[p] == WISH && WISHED(p) || why[p] == RELEASE && RELEASED || why[p] == SILENCE && PROMISED)
#endif
#ifdef X8
#define BASE(p) true
#else
#define BASE(p) (why[p] == PERSON || m_ep == expect[p])
#endif
#ifdef X9
#define OURS(p) (m_ep == expect[p] + 1 && m_node == NODE(p))
#else
#define OURS(p) (m_ep == expect[p] + 1 && m_nonce == p + 1)
#endif

inline lands(p)
{
	d_step {
		printf("claim of %d lands: epoch %d, reason %d\n", p, m_ep + 1, why[p]);
		CHECK(S5, why[p] != ITSELF);
		CHECK(S4, why[p] != SILENCE || m_kept);
		CHECK(S3, why[p] != SILENCE || m_ep == expect[p]);
		CHECK(S8, why[p] != RELEASE || m_hb);
		if
		:: why[p] == RELEASE -> CHECK(S7, releases > 0); releases = 0
		:: m_nonce == 0 && why[p] != RELEASE -> releases = 0
		:: else
		fi;
		if
		:: why[p] == WISH -> CHECK(S6, wishes > 0 && m_wish == NODE(p)); wishes--
		:: m_wish == NODE(p) && why[p] != WISH -> wishes--
		:: else
		fi;
		expect[p] = m_ep; m_ep++; m_nonce = p + 1; m_node = NODE(p); owner[m_ep] = p + 1;
		m_kept = m_hb; beaten = 0; silence = 0; why[p] = 0;
#ifndef X6
		if :: m_wish == NODE(p) -> m_wish = NONE :: else fi
#endif
	}
}
inline anew() { looks = 0; since[p] = 0; overdue = 0; bad = 0 }
inline claim(reason)
{
	why[p] = reason; expect[p] = m_ep; watching = 0; looking = 0; anew(); w_ep = 0; w_kept = 0; w_free = 0; news[p] = 0
}
inline showlife()		/* a heartbeat of the newest epoch lands */
{
	silence = 0; beaten = 1;
	x = 0;
	do
	:: x < NP -> news[x] = 1; x++
	:: else -> break
	od;
	x = 0
}

proctype P(byte p)
{
	byte ep, w_ep, looks, x;
	bit watching, w_kept, w_free, looking, overdue, bad, same;

	if
	:: p != 1 -> atomic { claim(PERSON); goto claiming }
	:: p != 0 -> skip
	fi;
standby:
	do
	/* read the manifest, and decide */
	:: atomic {
		same = (watching && w_ep == m_ep && w_free == (m_nonce == 0));
		if
		:: overdue && same && w_kept == m_kept && PROMISED ->
			CHECK(S3, !bad);
#ifdef SEE_SILENCE
			CHECK(SEEN, false);
#endif
			same = 0; claim(SILENCE); goto claiming
		:: else
		fi;
		overdue = 0; bad = 0;
		if
#ifndef X2
		:: !same -> anew()
#endif
#ifndef PATIENT
		:: same && w_kept != m_kept -> anew()
#endif
		:: else
		fi;
		if :: !same -> news[p] = beaten :: else fi;
		watching = 1; w_ep = m_ep; w_kept = m_kept; w_free = (m_nonce == 0); same = 0;
		if
		:: WISHED(p) -> claim(WISH); goto claiming
		:: !WISHED(p) && RELEASED -> claim(RELEASE); goto claiming
		:: else -> looking = PROMISED
		fi }
	/* look at nodes/<id> of the writer */
	:: atomic { looking ->
		looking = 0;
		if
		:: news[p] -> news[p] = 0; anew()
		:: !news[p] -> if :: looks < LOOKS -> looks++ :: else fi
		:: 		/* the read fails */
#ifdef X1
			if :: looks < LOOKS -> looks++ :: else fi
#else
			anew()
#endif
		fi;
		if
		:: looks == LOOKS && since[p] == WAIT -> overdue = 1; bad = (m_ep == w_ep && m_kept && silence < WAIT)
		:: else
		fi }
	od;
claiming:
#ifdef X13
	atomic { sealed = (sealed > expect[p] + 1 -> sealed : expect[p] + 1); CHECK(S9, sealed <= m_ep) };
#endif
	/* look what became of the claim */
	atomic {
		if
		:: OURS(p) -> why[p] = 0; ep = m_ep; CHECK(S0, owner[ep] == p + 1)
		:: !OURS(p) && why[p] == 0 -> goto standby		/* it won, and was followed by another */
		:: !OURS(p) && why[p] != 0 && why[p] != PERSON && (!BASE(p) || !REASON(p)) -> why[p] = 0; goto standby
		fi;
		expect[p] = 0 };
#ifdef READS
	ep_of[p] = ep;
#endif
#ifndef X10
	atomic { sealed = (sealed > ep -> sealed : ep); CHECK(S9, sealed <= m_ep) };
#endif
	/* still the newest? */
	atomic { if :: m_ep == ep && m_nonce == p + 1 -> skip :: else -> goto fenced fi;
#ifdef READS
		age[p] = 0;
#endif
#ifdef SEE_SERVE
		CHECK(SEEN, ep < NE);
#endif
		};
	do
	/* a slot of this epoch lands */
	:: atomic { sealed <= ep && (acked < ep
#ifdef READS
			|| age[p] > 0
#endif
#ifdef X10
			|| true
#endif
			) ->
		CHECK(S1, acked <= ep);
#ifdef READS
		x = 0;
		do
		:: x < NP -> if :: ep_of[x] != 0 && ep_of[x] < ep && late[x] == 0 -> late[x] = 1 :: else fi; x++
		:: else -> break
		od;
		x = 0; age[p] = 0;
#endif
		acked = (acked > ep -> acked : ep) }
	:: atomic { m_ep == ep && m_kept && (!beaten || silence > 0) -> showlife() }
	/* undertakes what is set: the first heartbeat comes before the commit */
	:: atomic { m_ep == ep && m_nonce == p + 1 && m_kept != m_hb ->
		if
#ifndef X14
		:: m_hb -> showlife()
#else
		:: m_hb -> silence = 0
#endif
		:: else
		fi;
		m_kept = m_hb; printf("%d keeps heartbeats: %d\n", p, m_kept) }
	:: atomic { m_ep == ep && m_nonce == p + 1 ->
		printf("%d releases\n", p); m_nonce = 0; releases = 1; goto out }
	/* learns that it is fenced: from the manifest, or from a slot that is a seal */
	:: atomic { m_ep != ep || sealed > ep -> goto fenced }
#ifdef READS
	:: atomic { m_ep == ep && age[p] > 0 -> age[p] = 0 }		/* a probe */
#ifdef X11
	:: atomic { m_ep > 0 -> CHECK(S2, late[p] <= F + 1) }
#else
	:: atomic { age[p] <= F -> CHECK(S2, late[p] <= F + 1) }
#endif
#endif
	od;
fenced:
	atomic {
		ep = 0;
#ifdef READS
		ep_of[p] = 0; late[p] = 0; age[p] = 0;
#endif
#ifdef X5
		claim(ITSELF); goto claiming
#else
		if
		:: m_hb ->
#ifdef SEE_AGAIN
			CHECK(SEEN, false);
#endif
			goto standby
		:: else -> skip
		fi
#endif
	};
out:	skip
}

proctype World()
{
	byte q;
	do
	/* a claim lands */
	:: atomic { m_ep < NE && why[0] != 0 && BASE(0) && REASON(0) -> lands(0) }
	:: atomic { m_ep < NE && why[1] != 0 && BASE(1) && REASON(1) -> lands(1) }
#if NP > 2
	:: atomic { m_ep < NE && why[2] != 0 && BASE(2) && REASON(2) -> lands(2) }
#endif
	/* people */
	:: atomic { switches < SW -> switches++; m_hb = !m_hb }
	:: atomic { switches < SW -> switches++; wishes = 1;
		if :: m_wish = 0 :: m_wish = 1 fi }
	/* time */
	:: atomic {
		q = 0;
		do
		:: q < NP ->
			if :: since[q] < WAIT -> since[q]++ :: else fi;
#ifdef READS
			if :: age[q] <= F -> age[q]++ :: else fi;
			if :: late[q] > 0 && late[q] <= F + 1 -> late[q]++ :: else fi;
#endif
			q++
		:: else -> break
		od;
		q = 0;
		if :: silence < WAIT -> silence++ :: else fi }
	od
}

init {
	atomic {
#ifdef JUST
		S0 = 1; S1 = 1; S2 = 1; S3 = 1; S4 = 1; S5 = 1; S6 = 1; S7 = 1; S8 = 1; S9 = 1; JUST = 0;
#endif
		run P(0); run P(1);
#if NP > 2
		run P(2);
#endif
		run World()
	}
}
