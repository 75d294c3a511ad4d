/* The feed of durable slots to whoever listens: decoded once, told record by record. */
#include "engine/engine_priv.h"

/* Somebody begins to listen and nobody did. */
static void tell_wanted(struct firn_engine *e)
{
    if (e->db->vt->feed_wanted)
        e->db->vt->feed_wanted(e->db);
}

void firn_engine__feed_add(struct firn_engine *e, struct firn_feed_listener *l)
{
    if (!firn_list_empty(&l->link))
        return;
    bool first = !firn_engine_listens(e);
    firn_list_push(&e->feed, &l->link);
    if (first)
        tell_wanted(e);
}

void firn_engine__feed_soon(struct firn_session *s)
{
    if (s->listens_soon)
        return;
    bool first = !firn_engine_listens(s->e);
    s->listens_soon = true;
    s->e->listens_soon++;
    if (first)
        tell_wanted(s->e);
}

void firn_engine__feed_soon_over(struct firn_session *s)
{
    s->e->listens_soon -= s->listens_soon;
    s->listens_soon = false;
}

void firn_engine__feed_remove(struct firn_feed_listener *l)
{
    firn_list_remove(&l->link);
}

bool firn_engine_listens(const struct firn_engine *e)
{
    return e->listens_soon || !firn_list_empty(&e->feed);
}

void firn_engine_feed(struct firn_engine *e, const struct firn_batch_header *header,
                      struct firn_slice records)
{
    struct firn_record_cursor c;
    struct firn_record r;
    enum firn_status st;
    if (firn_list_empty(&e->feed))
        return;
    firn_record_begin(&c, records, header->first_seqno);
    while ((st = firn_record_next(&c, &r, NULL)) == FIRN_OK) {
        FIRN_LIST_EACH(it, nx, &e->feed)
        {
            struct firn_feed_listener *l = FIRN_CONTAINER(it, struct firn_feed_listener, link);
            l->record(l->arg, header, &r);
        }
    }
    FIRN_ASSERT(st == FIRN_ABSENT); /* they were checked when they came, or are our own */
}

void firn_engine_feed_gap(struct firn_engine *e)
{
    FIRN_LIST_EACH(it, nx, &e->feed)
    {
        struct firn_feed_listener *l = FIRN_CONTAINER(it, struct firn_feed_listener, link);
        l->gap(l->arg);
    }
}
