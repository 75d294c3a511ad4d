/* pins.pml - the pin of a node: made, renewed, lost, given up, taken for dead (PROTOCOL.md "Garbage collection": Readers).
 *
 * Version v+1 drops the one table t(v): a view of version v reads t(v), t(v+1), ...  A node has one pin at a time and up to NH
 * holds under it (snapshots, long scans), each with a view; it may lose its pin or give it up, and make another.  Every PUT has a
 * body of its own and lands at any later moment, or never; a reply comes at any later moment, or never.  The node stalls for as
 * long as it likes, and may stop for ever.  A pass of the collector reads the manifest, then lists the pins; what it found
 * deletable, tables and dead pins in any order, it deletes at any later moment.  The clock is the collector's, in ticks; pin_ttl
 * is one.
 *
 * Checked:
 *  C1 a read at a hold is answered from all of its own version, or ends the hold with an error
 *  C2 no table of a held view goes before the collector has seen the node's pin unchanged for pin_ttl
 *  C3 what no pin needs goes: in two passes pin_ttl apart, all tables below the least view of a node that has renewed in between,
 *     or all dropped ones of a node that has not; and so do the pins of the past
 *  C4 what counts as made or renewed has landed, a renewal on a pin that had not been collected before
 *
 * Sizes -DMAXV=versions -DPUTS=bodies -DTMAX=ticks -DNH=holds -DNP=pins
 * Variants that must be safe:
 *  -DTWICE  the first PUT of a pin may land again after the pin was collected.  A renewal may then succeed on it (of that one
 *           C4 does not speak), and its tables may be gone: a table that is not there has to end the hold
 * Mutations that must be caught:
 *  -DR1  a hold is given before the pin is durable
 *  -DR2  no second look: a view from before the pin was durable is held
 *  -DR3  a renewal names the newest version, not the least one held
 *  -DR4  the age of a pin goes by its name, not by what lies there
 *  -DR5  pins are listed before the manifest is read
 *  -DR6  renewals have no condition
 *  -DR7  a 412 is taken for renewed without a look
 *  -DR8  a table that is not there is passed over
 *  -DR9  a table that is not there: read on at the newest version
 *  -DR10 while a renewal is under way, holds are given by the version of the last one
 *  -DR11 the age of a pin begins anew with each pass
 *  -DR12 a renewal names the version that the pin was made with
 *  -DR13 the next pin of a node has the same name
 *  -DR14 the age of a pin goes by the time when its owner wrote it
 *  -DR15 a pin that the collector has not seen before is dead
 *  -DR16 the holds outlive the loss of the pin
 *  -DR17 a pin is given up while it is held
 *  -DR18 the newest version pinned counts, not the least
 * Places that must be reached:
 *  -DSEE_END    a hold ends for want of a table
 *  -DSEE_LATE   a renewal succeeds on a pin that was taken for dead
 *  -DSEE_TWICE  TWICE: one succeeds on a pin that was collected
 * -DJUST=property looks at no other one.
 */
#ifndef MAXV
#define MAXV 2
#endif
#ifndef PUTS
#define PUTS 4
#endif
#ifndef TMAX
#define TMAX 2
#endif
#ifndef NH
#define NH 1
#endif
#ifndef NP
#define NP 2
#endif
#define TTL 1
#define NOTHING 254		/* a version newer than all */
#define NONE 255
#define B(i) (1 << (i))
#define HAS(m,i) (((m) >> (i)) & 1)

/* The properties: what an assertion that fails prints.  A bit is set where that one is not to be looked at. */
bit C1, C2, C3, C4, SEEN;
#define CHECK(name, what) assert((what) || name)

byte m_ver;			/* the manifest */
byte gone;			/* tables that some pass found deletable: there or not, as the worst would have it */
byte clock;
bit over;			/* the node has stopped */
/* bodies: which pin it is for, the version it names, what it must replace, when it was composed */
byte used, whose[PUTS], names[PUTS], match[PUTS], born[PUTS];
byte landed;			/* those that have */
byte late;			/* ghost: those that landed on a pin after it had been collected */
/* pins/<k>: the body that lies there; ghosts: since when; it was taken for dead; it was collected */
byte at[NP] = NONE, since[NP];
byte dead, collected;
/* the collector: what it saw there, and since when */
byte seen[NP] = NONE, seen_at[NP];
/* the node: its pin, the body under way, the last one known to lie there; the least view that may be held; the holds */
byte k = NONE, n, etag, least, view[NH];
bit live, held[NH];
bit broken;			/* ghost: the collector had the right to take this pin for dead */

#define LOST_TABLES(i) (held[i] && (gone >> view[i]) != 0)
#if NH == 2
#define HELD (held[0] || held[1])
#define LEAST (held[0] && (!held[1] || view[0] <= view[1]) -> view[0] : view[1])
#define checkviews() CHECK(C2, broken || !LOST_TABLES(0) && !LOST_TABLES(1))
#else
#define HELD held[0]
#define LEAST view[0]
#define checkviews() CHECK(C2, broken || !LOST_TABLES(0))
#endif
#if defined(R3)
#define RENEWED m_ver
#elif defined(R12)
#define RENEWED names[etag]
#else
#define RENEWED LEAST
#endif
#ifdef R17
#define MAY_GIVE_UP true
#else
#define MAY_GIVE_UP !(HELD)
#endif

inline compose(v, etag_)
{
	n = used; used++; whose[n] = k; names[n] = v; match[n] = etag_;
#ifdef R14
	born[n] = clock;
#endif
	printf("PUT of %d: pin %d names %d in place of %d\n", n, k, v, etag_)
}

inline drop(i) { held[i] = 0; view[i] = 0 }
inline drop_all()
{
	drop(0);
#if NH == 2
	drop(1)
#endif
}

inline use(i)			/* a hold, a read at it, its end */
{
	if
	:: !held[i] -> view[i] = least;
		do
		:: view[i] < m_ver -> view[i]++
		:: break
		od;
		held[i] = 1; checkviews()
	:: held[i] -> drop(i)
	:: held[i] && LOST_TABLES(i) ->
#ifdef SEE_END
		CHECK(SEEN, false);
#endif
#if defined(R8) || defined(R9)
#ifdef R9
		x = m_ver;
#else
		x = NONE;
#endif
		CHECK(C1, x == view[i]);
#endif
		drop(i)
	fi
}

proctype Node()
{
	byte before, x;

	{ goto anew;
anew:	/* a new pin */
	atomic { used < PUTS && (k == NONE || k < NP - 1) ->
#ifdef R13
		k = 0;
#else
		k = (k == NONE -> 0 : k + 1);
#endif
		live = 0; broken = 0; etag = NONE;
		before = m_ver; compose(m_ver, NONE); checkviews() };
#ifndef R1
	/* durable, by the reply or by a look at our own bytes; else another one */
	if
	:: atomic { HAS(landed, n) -> etag = n }
	:: goto anew
	fi;
#else
	etag = n;
#endif
	/* the second look: the manifest, read behind the pin */
	atomic {
#ifdef R2
		least = before;
#else
		least = m_ver;
#endif
		before = 0; live = 1 };
	do
	:: atomic { use(0) }
#if NH == 2
	:: atomic { use(1) }
#endif
	:: atomic { n == etag && HELD && used < PUTS ->
		before = RENEWED; compose(before, etag);
#ifdef R6
		match[n] = NOTHING;
#endif
#ifndef R10
		least = (before > least -> before : least);
#endif
		before = 0 }
	:: atomic { n != etag && HAS(landed, n) -> etag = n;
		CHECK(C4, !HAS(late, n));
#ifdef R10
		least = (names[n] > least -> names[n] : least);
#endif
#ifdef SEE_LATE
		CHECK(SEEN, !broken);
#endif
#ifdef SEE_TWICE
		CHECK(SEEN, !HAS(collected, k));
#endif
		}
	:: atomic { n != etag && at[k] != n && at[k] != etag ->	/* a 412 and a look, or a 404: lost */
#ifdef R7
		CHECK(C4, HAS(landed, n)); etag = n
#else
#ifndef R16
		drop_all();
#endif
		live = 0; least = 0; goto anew
#endif
		}
	:: atomic { n == etag && used < PUTS && MAY_GIVE_UP ->	/* let it name nothing */
		compose(NOTHING, etag); live = 0; least = 0; goto anew }
	od
	} unless { over }
}

#ifdef TWICE
#define AGAIN true
#else
#define AGAIN false
#endif
inline put_lands(b)
{
	atomic { b < used && (at[whose[b]] == match[b] || match[b] == NOTHING && at[whose[b]] != b) && (AGAIN || !HAS(landed, b)) ->
		printf("%d lands\n", b);
		if
		:: HAS(collected, whose[b]) && match[b] != NONE ->
#ifndef TWICE
			late = late | B(b)
#endif
		:: else
		fi;
		at[whose[b]] = b; since[whose[b]] = clock; landed = landed | B(b) }
}

#if defined(R14)
#define DEAD(p) (clock - born[at[p]] >= TTL)
#elif defined(R15)
#define DEAD(p) (seen[p] == NONE || clock - seen_at[p] >= TTL)
#else
#define DEAD(p) (clock - seen_at[p] >= TTL)
#endif
#if defined(R4)
#define CHANGED(p) (seen[p] == NONE)
#elif defined(R11)
#define CHANGED(p) true
#else
#define CHANGED(p) (seen[p] != at[p])
#endif
inline look_at_pin(p)
{
	if
	:: at[p] == NONE -> seen[p] = NONE; seen_at[p] = 0
	:: else ->
		dies = 0;
#ifdef R15
		dies = (seen[p] == NONE);
#endif
		if
		:: CHANGED(p) -> seen[p] = at[p]; seen_at[p] = clock
		:: else
		fi;
		if
		:: dies || DEAD(p) -> dead = dead | B(p); printf("pin %d is dead\n", p);
			broken = broken || p == k && clock - since[p] >= TTL
#ifdef R18
		:: else -> min = (min == NONE || names[at[p]] > min -> names[at[p]] : min)
#else
		:: else -> min = (names[at[p]] < min -> names[at[p]] : min)
#endif
		fi;
		dies = 0
	fi
}
inline list_pins()
{
	min = NONE;
	look_at_pin(0);
#if NP == 2
	look_at_pin(1)
#endif
}
inline judge(ver)		/* dropped by a version that is not newer than the least one pinned */
{
	gone = gone | (B((ver < min -> ver : min)) - 1);
	checkviews(); min = 0
}
inline delete_pin(p)
{
	atomic { HAS(dead, p) && at[p] != NONE -> printf("DELETE pin %d\n", p); at[p] = NONE; since[p] = 0;
		collected = collected | B(p) }
}

proctype World()		/* commits, time, what is on its way */
{
	do
	:: atomic { m_ver < MAXV -> m_ver++ }
	:: atomic { clock < TMAX -> clock++ }
	:: put_lands(0)
	:: put_lands(1)
	:: put_lands(2)
#if PUTS > 3
	:: put_lands(3)
#endif
#if PUTS > 4
	:: put_lands(4)
#endif
	:: delete_pin(0)
#if NP == 2
	:: delete_pin(1)
#endif
	:: over -> break
	od
}

proctype Gc()
{
	byte d, min;
	bit dies, there;

	do
	:: /* a pass */
#ifdef R5
		atomic { list_pins(); d = min; min = 0 };
		atomic { min = d; judge(m_ver); d = 0 }
#else
		d = m_ver;
		atomic { list_pins(); judge(d); d = 0 }
#endif
	:: atomic {
		/* the end: two passes, pin_ttl apart; the node has stopped, or renews once more in between */
		over = 1;
		list_pins(); judge(m_ver);
		clock = clock + TTL; d = m_ver;
		if
		:: skip
		:: live && HELD && n == etag && at[k] == etag && !HAS(dead, k) ->
			d = LEAST; there = 1;
			names[etag] = RENEWED; born[etag] = clock; since[k] = clock; seen[k] = NONE
		fi;
		list_pins(); judge(m_ver);
		CHECK(C3, (gone & (B(d) - 1)) == B(d) - 1);
		CHECK(C3, at[0] == NONE || HAS(dead, 0) || there && k == 0);
#if NP == 2
		CHECK(C3, at[1] == NONE || HAS(dead, 1) || there && k == 1);
#endif
		break }
	od
}

init {
	atomic {
#ifdef JUST
		C1 = 1; C2 = 1; C3 = 1; C4 = 1; JUST = 0;
#endif
		run Node(); run World(); run Gc()
	}
}
