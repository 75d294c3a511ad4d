/* history.pml - copies of manifests, the parent chain, checkpoints, `kept` (PROTOCOL.md "Commit", "Garbage collection", History).
 *
 * Two proposers (a writer that flushes, a compactor that replaces tables; either makes checkpoints).  A commit is: read, PUT the
 * copy, PUT the manifest If-Match; either PUT lands at any later moment, the copy's again and again; a proposer may give up
 * before the swap is sent, or stop for ever.  Version v is made by proposer p under the name (v, p): its nonce.  Version v has
 * one table, t(v), that v+1 drops; each flush moves the floor and log_time by one.  Any number of collectors: what a pass found
 * deletable may be gone at any later moment, and so may slots below `kept`.
 *
 * Checked, of the manifest as it is, at every moment:
 *  H1 every version on the parent chain within the history window has its copy
 *  H2 every checkpoint has the copy of its version
 *  H3 and that version's table
 *  H4 and, if it lies in the history window, all slots from its version's floor on
 *  H5 what is taken for history is on the chain
 *  H6 the manifest's own copy is there
 *
 * Sizes -DMAXV=versions -DHIST=window, in steps of log_time; -DOPEN with H5
 * Mutations that must be caught:
 *  -DY1  the copy is put after the swap
 *  -DY2  a copy is deleted once it is off the chain, also above the manifest's version
 *  -DY3  copies that a checkpoint names are deleted with the others
 *  -DY4  the window is not looked at: all copies below the manifest are old
 *  -DY5  a checkpoint of an old version
 *  -DY6  kept is raised to the floor, whatever checkpoints need
 *  -DY7  a checkpoint whose copy the collector could not read is left out
 *  -DY8  a checkpoint notes the floor of the commit that makes it, not that of the version it names
 *  -DY9  history is what LIST shows: any copy of a version
 *  -DY10 the copy's PUT is not waited for
 *  -DY11 garbage is deleted although a checkpoint refers to it
 * -DJUST=property looks at no other one.
 */
#ifndef MAXV
#define MAXV 4
#endif
#ifndef HIST
#define HIST 1
#endif
#define NV (MAXV + 1)
#define NONE 255
#define B(i) (1 << (i))
#define HAS(m,i) (((m) >> (i)) & 1)

/* The properties: what an assertion that fails prints.  A bit is set where that one is not to be looked at. */
bit H1, H2, H3, H4, H5, H6, SEEN;
#define CHECK(name, what) assert((what) || name)

/* the manifest; all that version v says is in arrays, for the bodies of copies are immutable */
byte m_ver;
byte m_ck = NONE;		/* the version that the checkpoint names */
byte m_ckfloor;			/* the floor it notes */
byte m_kept;
byte by[NV];			/* whose proposal version v is: its nonce */
byte fl[NV];			/* its floor, and log_time */
/* the store */
#define COPY(v,p) (2 * (v) + (p))
int copies = 1, sent = 1;	/* copies whose PUT has landed, was sent */
int dcopies;			/* copies, tables that some collector found deletable: there or not, as the worst would have it */
byte dtables;
#define THERE(v,p) HAS(copies & ~dcopies, COPY(v, p))
/* proposals */
#define FLUSH 1
#define COMPACT 2
#define CKPT 3
#define DROP 4
#define KEEP 5
byte base[2], what[2], arg[2];
bit swap[2];			/* its swap may land */

#define OLD(v) (fl[v] + HIST < fl[m_ver])
#define INWINDOW (HIST > 0 && m_ck != NONE && !OLD(m_ck))

inline check()
{
	d_step {
		CHECK(H6, THERE(m_ver, by[m_ver]));
		x = 0;
		do
		:: x < m_ver ->
			CHECK(H1, HIST == 0 || OLD(x) || THERE(x, by[x]));
			x++
		:: else -> break
		od;
		if
		:: m_ck != NONE ->
			CHECK(H2, THERE(m_ck, by[m_ck]));
			CHECK(H3, !HAS(dtables, m_ck));
			CHECK(H4, !INWINDOW || m_kept <= fl[m_ck])
		:: else
		fi;
		x = 0
	}
}

inline land(p)
{
	printf("version %d by %d: %d\n", m_ver + 1, p, what[p]);
	m_ver++; by[m_ver] = p; fl[m_ver] = fl[m_ver - 1];
	if
	:: what[p] == FLUSH -> fl[m_ver]++
	:: what[p] == CKPT -> m_ck = arg[p];
#ifdef Y8
		if :: m_ckfloor = fl[m_ver] :: fl[m_ver]++; m_ckfloor = fl[m_ver] fi
#else
		m_ckfloor = fl[m_ck]
#endif
	:: what[p] == DROP -> m_ck = NONE; m_ckfloor = 0
	:: what[p] == KEEP -> m_kept = (m_kept > arg[p] -> m_kept : arg[p])
	:: else
	fi;
	swap[p] = 0
}

proctype Prop(byte p)
{
	byte x;
	do
	:: atomic { m_ver < MAXV ->
		base[p] = m_ver;
		if
		:: p == 0 -> what[p] = FLUSH
		:: p == 1 -> what[p] = COMPACT
		:: m_ck == NONE -> what[p] = CKPT;
#ifdef Y5
			arg[p] = 0;
			do
			:: arg[p] < m_ver -> arg[p]++
			:: break
			od
#else
			arg[p] = m_ver
#endif
		:: m_ck != NONE -> what[p] = DROP
		:: p == 1 -> what[p] = KEEP;
			/* as high as this manifest allows */
#ifdef Y6
			arg[p] = fl[m_ver]
#else
			arg[p] = (INWINDOW && m_ckfloor < fl[m_ver] -> m_ckfloor : fl[m_ver])
#endif
		fi;
#ifndef Y1
		sent = sent | B(COPY(base[p] + 1, p))
#endif
		};
#if !defined(Y1) && !defined(Y10)
	/* the copy is there */
	atomic { HAS(copies, COPY(base[p] + 1, p)) };
#endif
	atomic { swap[p] = 1 };
	/* the swap is decided when the manifest is another than the one it named */
	atomic { m_ver != base[p] -> swap[p] = 0;
#ifdef Y1
		if :: by[base[p] + 1] == p -> sent = sent | B(COPY(base[p] + 1, p)) :: else fi;
#endif
		base[p] = 0; what[p] = 0; arg[p] = 0 }
	od
}

proctype Store()
{
	byte x;
	do
	:: atomic { swap[0] && base[0] == m_ver -> land(0); check() }
	:: atomic { swap[1] && base[1] == m_ver -> land(1); check() }
	/* the PUT of a copy lands */
	:: atomic { (sent & ~copies) != 0 ->
		do
		:: !HAS(sent & ~copies, x) -> x++
		:: HAS(sent & ~copies, x) -> if :: (sent & ~copies & ~(B(x + 1) - 1)) != 0 -> x++ :: break fi
		od;
		copies = copies | B(x); x = 0 }
	od
}

#ifdef Y2
#define BELOW(v) true
#else
#define BELOW(v) ((v) < m_ver)
#endif
#ifdef Y3
#define NAMED(v,p) false
#else
#define NAMED(v,p) (m_ck == (v) && by[v] == (p))
#endif
#define ONCHAIN(v,p) ((v) <= m_ver && by[v] == (p))
#ifdef Y4
#define KEPT(v,p) false
#else
#define KEPT(v,p) (HIST > 0 && ONCHAIN(v,p) && !OLD(v))
#endif
proctype Gc()
{
	byte x;
	bit unread;
	do
	:: atomic {		/* a copy: listed, then the manifest, its checkpoint and its chain */
		do
		:: x < 2 * NV - 1 -> x++
		:: break
		od;
		if
		:: HAS(copies, x) && BELOW(x / 2) && !NAMED(x / 2, x % 2) && !KEPT(x / 2, x % 2) -> dcopies = dcopies | B(x); x = 0; check()
		:: else
		fi;
		x = 0 }
	:: atomic {		/* a table in garbage */
		do
		:: x < MAXV -> x++
		:: break
		od;
#ifdef Y7
		if :: unread = 1 :: skip fi;
#endif
#ifdef Y11
		unread = 1;
#endif
		if
		:: x < m_ver && (m_ck != x || unread) -> dtables = dtables | B(x); x = 0; check()
		:: else
		fi;
		x = 0; unread = 0 }
	od
}

#ifdef OPEN
proctype Opener()		/* somebody opens a version of the past */
{
	byte v, p;
	atomic {
		do
		:: v < m_ver -> v++
		:: break
		od;
#ifdef Y9
		if :: p = 0 :: p = 1 fi;
#else
		p = by[v];	/* walked to from the manifest, parent by parent; or named by a checkpoint, with its nonce */
#endif
		THERE(v, p);
#ifdef SEE_OFFCHAIN
		CHECK(SEEN, !THERE(v, 1 - p));
#endif
		CHECK(H5, by[v] == p) }
}
#endif

init {
	atomic {
#ifdef JUST
		H1 = 1; H2 = 1; H3 = 1; H4 = 1; H5 = 1; H6 = 1; JUST = 0;
#endif
		run Prop(0); run Prop(1); run Store(); run Gc();
#ifdef OPEN
		run Opener()
#endif
	}
}
