/* SUBSCRIBE and its kin, PUBLISH, PUBSUB. */
#include "engine/cmd_priv.h"

#include "resp/glob.h"

/* ---- subscribing */

/* How many subscriptions the confirmations of this kind count. */
static unsigned counted(const struct firn_eval *x, enum firn_topic_kind kind)
{
    const unsigned *n = x->s->subs.n;
    return kind == FIRN_TOPIC_SHARD ? n[kind] : n[FIRN_TOPIC_CHANNEL] + n[FIRN_TOPIC_PATTERN];
}

static void confirm(struct firn_eval *x, const char *what, const struct firn_slice *name,
                    unsigned count)
{
    firn_reply_push(x->out, 3);
    firn_reply_str(x->out, what);
    if (name)
        firn_reply_bulk(x->out, *name);
    else
        firn_reply_null(x->out);
    firn_reply_i64(x->out, count);
}

/* Answered after a believed probe begun after it came, and on the writer behind every slot that was
 * begun before: what comes behind the reply is what was published after the command came. */
static enum firn_status subscribe(struct firn_eval *x, const char *what, enum firn_topic_kind kind)
{
    enum firn_status st = FIRN_OK;
    bool events = false;
    for (size_t i = 1; i < x->argc; i++)
        events = events || firn_engine__topic_events(kind, x->argv[i]);
    if (events) /* another node may have said which ones there are */
        st = firn_engine__manifest_read(x);
    if (st == FIRN_OK)
        st = firn_engine__caught_up(x);
    if (st != FIRN_OK)
        return st;
    firn_conn_answers_by_push(x->s->c);
    for (size_t i = 1; i < x->argc; i++) {
        if (firn_engine__subscribe(x->s, kind, x->argv[i]) != FIRN_OK) {
            firn_reply_error(x->out,
                             "ERR no memory for more subscriptions, or the name is longer "
                             "than %d bytes",
                             FIRN_TOPIC_NAME_MAX);
            return FIRN_INVALID;
        }
        confirm(x, what, &x->argv[i], counted(x, kind));
    }
    return FIRN_OK;
}

enum firn_status firn_engine__cmd_subscribe(struct firn_eval *x)
{
    return subscribe(x, "subscribe", FIRN_TOPIC_CHANNEL);
}

enum firn_status firn_engine__cmd_psubscribe(struct firn_eval *x)
{
    return subscribe(x, "psubscribe", FIRN_TOPIC_PATTERN);
}

enum firn_status firn_engine__cmd_ssubscribe(struct firn_eval *x)
{
    return subscribe(x, "ssubscribe", FIRN_TOPIC_SHARD);
}

static void leave_all(struct firn_eval *x, const char *what, enum firn_topic_kind kind)
{
    struct firn_list *subs = &x->s->subs.list[kind];
    if (firn_list_empty(subs))
        confirm(x, what, NULL, counted(x, kind));
    FIRN_LIST_EACH(it, nx, subs)
    {
        const struct firn_topic *t =
            FIRN_CONTAINER(it, struct firn_subscription, of_session)->topic;
        struct firn_slice name = firn_engine__topic_name(t);
        confirm(x, what, &name, counted(x, kind) - 1); /* the name may go with its last one */
        firn_engine__unsubscribe(x->s, kind, name);
    }
}

static enum firn_status unsubscribe(struct firn_eval *x, const char *what,
                                    enum firn_topic_kind kind)
{
    firn_conn_answers_by_push(x->s->c);
    if (x->argc == 1)
        leave_all(x, what, kind);
    for (size_t i = 1; i < x->argc; i++) {
        firn_engine__unsubscribe(x->s, kind, x->argv[i]);
        confirm(x, what, &x->argv[i], counted(x, kind));
    }
    return FIRN_OK;
}

enum firn_status firn_engine__cmd_unsubscribe(struct firn_eval *x)
{
    return unsubscribe(x, "unsubscribe", FIRN_TOPIC_CHANNEL);
}

enum firn_status firn_engine__cmd_punsubscribe(struct firn_eval *x)
{
    return unsubscribe(x, "punsubscribe", FIRN_TOPIC_PATTERN);
}

enum firn_status firn_engine__cmd_sunsubscribe(struct firn_eval *x)
{
    return unsubscribe(x, "sunsubscribe", FIRN_TOPIC_SHARD);
}

/* ---- publishing: a record of the log like any other */

static enum firn_status publish(struct firn_eval *x, enum firn_event event)
{
    enum firn_status st = firn_engine__write_ready(x, firn_engine__bytes_of_args(x));
    if (st == FIRN_OK)
        st = firn_engine__publish(x, x->argv[1], x->argv[2], event);
    if (st == FIRN_OK)
        firn_reply_i64(x->out, (int64_t)firn_engine__receivers(
                                   &x->e->pubsub, event == FIRN_EVENT_SPUBLISH, x->argv[1]));
    return st;
}

enum firn_status firn_engine__cmd_publish(struct firn_eval *x)
{
    return publish(x, FIRN_EVENT_PUBLISH);
}

enum firn_status firn_engine__cmd_spublish(struct firn_eval *x)
{
    return publish(x, FIRN_EVENT_SPUBLISH);
}

/* ---- PUBSUB: of this node alone */

static enum firn_status channels(struct firn_eval *x, enum firn_topic_kind kind)
{
    if (x->argc > 3) {
        firn_reply_error(
            x->out,
            "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try PUBSUB HELP.",
            (int)x->argv[1].len, (const char *)x->argv[1].data);
        return FIRN_INVALID;
    }
    size_t place = firn_reply_defer_array(x->out), n = 0;
    FIRN_LIST_EACH(it, nx, &x->e->pubsub.all[kind])
    {
        const struct firn_topic *t = FIRN_CONTAINER(it, struct firn_topic, link);
        struct firn_slice name = firn_engine__topic_name(t);
        if (x->argc == 3 && !firn_glob_match(x->argv[2], name, false))
            continue;
        firn_reply_bulk(x->out, name);
        n++;
    }
    firn_reply_fill_array(x->out, place, n);
    return FIRN_OK;
}

enum firn_status firn_engine__cmd_pubsub_channels(struct firn_eval *x)
{
    return channels(x, FIRN_TOPIC_CHANNEL);
}

enum firn_status firn_engine__cmd_pubsub_shardchannels(struct firn_eval *x)
{
    return channels(x, FIRN_TOPIC_SHARD);
}

static enum firn_status numsub(struct firn_eval *x, enum firn_topic_kind kind)
{
    firn_reply_array(x->out, 2 * (x->argc - 2));
    for (size_t i = 2; i < x->argc; i++) {
        const struct firn_topic *t = firn_engine__topic(&x->e->pubsub, kind, x->argv[i]);
        firn_reply_bulk(x->out, x->argv[i]);
        firn_reply_i64(x->out, t ? (int64_t)t->nsubs : 0);
    }
    return FIRN_OK;
}

enum firn_status firn_engine__cmd_pubsub_numsub(struct firn_eval *x)
{
    return numsub(x, FIRN_TOPIC_CHANNEL);
}

enum firn_status firn_engine__cmd_pubsub_shardnumsub(struct firn_eval *x)
{
    return numsub(x, FIRN_TOPIC_SHARD);
}

enum firn_status firn_engine__cmd_pubsub_numpat(struct firn_eval *x)
{
    firn_reply_i64(x->out, (int64_t)x->e->pubsub.n[FIRN_TOPIC_PATTERN]);
    return FIRN_OK;
}
