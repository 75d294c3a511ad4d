/* CLIENT TRACKING, CACHING, GETREDIR, TRACKINGINFO. */
#include "engine/cmd_priv.h"

struct tracking_words {
    bool bcast, optin, optout, noloop;
    uint64_t redirect;
    size_t prefix[FIRN_TRACKING_PREFIXES_MAX], nprefix; /* where in argv */
};

static enum firn_status refuse(struct firn_eval *x, const char *text)
{
    firn_reply_error(x->out, "ERR %s", text);
    return FIRN_INVALID;
}

static enum firn_status parse_redirect(struct firn_eval *x, size_t i, struct tracking_words *o)
{
    int64_t id;
    if (o->redirect)
        return refuse(x, "A client can only redirect to a single other client");
    enum firn_status st = firn_engine__arg_i64(x, i, &id);
    if (st != FIRN_OK)
        return st;
    if (id < 1 || !firn_server_find(x->e->server, (uint64_t)id))
        return refuse(x, "The client ID you want redirect to does not exist");
    o->redirect = (uint64_t)id;
    return FIRN_OK;
}

static enum firn_status parse(struct firn_eval *x, struct tracking_words *o)
{
    for (size_t i = 3; i < x->argc; i++) {
        bool more = i + 1 < x->argc;
        enum firn_status st = FIRN_OK;
        if (firn_engine__arg_is(x, i, "redirect") && more)
            st = parse_redirect(x, ++i, o);
        else if (firn_engine__arg_is(x, i, "bcast"))
            o->bcast = true;
        else if (firn_engine__arg_is(x, i, "optin"))
            o->optin = true;
        else if (firn_engine__arg_is(x, i, "optout"))
            o->optout = true;
        else if (firn_engine__arg_is(x, i, "noloop"))
            o->noloop = true;
        else if (firn_engine__arg_is(x, i, "prefix") && more &&
                 o->nprefix == FIRN_TRACKING_PREFIXES_MAX)
            st = refuse(x, "too many prefixes");
        else if (firn_engine__arg_is(x, i, "prefix") && more)
            o->prefix[o->nprefix++] = ++i;
        else
            st = firn_engine__syntax_error(x);
        if (st != FIRN_OK)
            return st;
    }
    return FIRN_OK;
}

static enum firn_status collision(struct firn_eval *x, struct firn_slice a, struct firn_slice b,
                                  const char *what)
{
    if (!firn_slice_starts(a, b) && !firn_slice_starts(b, a))
        return FIRN_OK;
    firn_reply_error(x->out,
                     "ERR Prefix '%.*s' overlaps with %s prefix '%.*s'. Prefixes for a single "
                     "client must not overlap.",
                     (int)a.len, (const char *)a.data, what, (int)b.len, (const char *)b.data);
    return FIRN_INVALID;
}

static enum firn_status check_prefixes(struct firn_eval *x, const struct tracking_words *o)
{
    const struct firn_track *k = &x->s->track;
    enum firn_status st = FIRN_OK;
    for (size_t i = 0; st == FIRN_OK && i < o->nprefix; i++) {
        struct firn_slice p = x->argv[o->prefix[i]];
        for (size_t n = 0; st == FIRN_OK && n < k->nprefix; n++)
            st = collision(x, p, firn_buf_slice(&k->prefix[n]), "an existing");
        for (size_t n = i + 1; st == FIRN_OK && n < o->nprefix; n++)
            st = collision(x, p, x->argv[o->prefix[n]], "another provided");
    }
    if (st == FIRN_OK && k->nprefix + o->nprefix > FIRN_TRACKING_PREFIXES_MAX)
        st = refuse(x, "too many prefixes");
    return st;
}

/* Do the options go together, and with what was chosen before? */
static enum firn_status check(struct firn_eval *x, const struct tracking_words *o)
{
    const struct firn_track *k = &x->s->track;
    if (!o->bcast && o->nprefix)
        return refuse(x, "PREFIX option requires BCAST mode to be enabled");
    if (k->on && k->bcast != o->bcast)
        return refuse(x, "You can't switch BCAST mode on/off before disabling tracking for this "
                         "client, and then re-enabling it with a different mode.");
    if (o->bcast && (o->optin || o->optout))
        return refuse(x, "OPTIN and OPTOUT are not compatible with BCAST");
    if (o->optin && o->optout)
        return refuse(x, "You can't specify both OPTIN mode and OPTOUT mode");
    if ((o->optin && k->optout) || (o->optout && k->optin))
        return refuse(x, "You can't switch OPTIN/OPTOUT mode before disabling tracking for this "
                         "client, and then re-enabling it with a different mode.");
    return check_prefixes(x, o);
}

static enum firn_status add_prefix(struct firn_track *k, struct firn_slice p)
{
    struct firn_buf *b = &k->prefix[k->nprefix];
    firn_buf_init(b, SIZE_MAX);
    enum firn_status st = firn_buf_append(b, p.data, p.len);
    if (st == FIRN_OK)
        k->nprefix++;
    return st;
}

static enum firn_status switch_on(struct firn_eval *x, const struct tracking_words *o)
{
    struct firn_tracking *t = &x->e->tracking;
    struct firn_track *k = &x->s->track;
    enum firn_status st = FIRN_OK;
    for (size_t i = 0; st == FIRN_OK && i < o->nprefix; i++)
        st = add_prefix(k, x->argv[o->prefix[i]]);
    if (st == FIRN_OK && o->bcast && k->nprefix == 0)
        st = add_prefix(k, firn_slice_of(NULL, 0));
    if (st != FIRN_OK)
        return st;
    k->on = true;
    k->bcast = o->bcast;
    k->optin = o->optin;
    k->optout = o->optout;
    k->noloop = o->noloop;
    k->broken_redirect = false;
    k->redirect = o->redirect;
    if (firn_list_empty(&k->link))
        firn_list_push(&t->sessions, &k->link);
    firn_engine__feed_add(x->e, &t->listener);
    return FIRN_OK;
}

/* Answered after a believed probe begun after it came, and on the writer behind every slot that was
 * begun before: what is read from now on is told of when it changes. */
enum firn_status firn_engine__cmd_client_tracking(struct firn_eval *x)
{
    struct tracking_words o = {0};
    enum firn_status st = parse(x, &o);
    if (st != FIRN_OK)
        return st;
    if (firn_engine__arg_is(x, 2, "off")) {
        firn_engine__track_off(x->s);
        firn_reply_ok(x->out);
        return FIRN_OK;
    }
    if (!firn_engine__arg_is(x, 2, "on"))
        return firn_engine__syntax_error(x);
    st = check(x, &o);
    if (st == FIRN_OK)
        st = firn_engine__caught_up(x);
    if (st == FIRN_OK)
        st = switch_on(x, &o);
    if (st == FIRN_OK)
        firn_reply_ok(x->out);
    return st;
}

enum firn_status firn_engine__cmd_client_caching(struct firn_eval *x)
{
    struct firn_track *k = &x->s->track;
    bool yes = firn_engine__arg_is(x, 2, "yes");
    if (!k->on || (!k->optin && !k->optout))
        return refuse(x, "CLIENT CACHING can be called only when the client is in tracking mode "
                         "with OPTIN or OPTOUT mode enabled");
    if (!yes && !firn_engine__arg_is(x, 2, "no"))
        return firn_engine__syntax_error(x);
    if (yes && !k->optin)
        return refuse(x,
                      "CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.");
    if (!yes && !k->optout)
        return refuse(x,
                      "CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.");
    k->caching = true;
    firn_reply_ok(x->out);
    return FIRN_OK;
}

enum firn_status firn_engine__cmd_client_getredir(struct firn_eval *x)
{
    const struct firn_track *k = &x->s->track;
    firn_reply_i64(x->out, k->on ? (int64_t)k->redirect : -1);
    return FIRN_OK;
}

enum firn_status firn_engine__cmd_client_trackinginfo(struct firn_eval *x)
{
    const struct firn_track *k = &x->s->track;
    const char *flag[8];
    size_t n = 0;
    flag[n++] = k->on ? "on" : "off";
    if (k->bcast)
        flag[n++] = "bcast";
    if (k->optin)
        flag[n++] = "optin";
    if (k->optin && k->caching)
        flag[n++] = "caching-yes";
    if (k->optout)
        flag[n++] = "optout";
    if (k->optout && k->caching)
        flag[n++] = "caching-no";
    if (k->noloop)
        flag[n++] = "noloop";
    if (k->broken_redirect)
        flag[n++] = "broken_redirect";
    firn_reply_map(x->out, 3);
    firn_reply_str(x->out, "flags");
    firn_reply_set(x->out, n);
    for (size_t i = 0; i < n; i++)
        firn_reply_str(x->out, flag[i]);
    firn_reply_str(x->out, "redirect");
    firn_reply_i64(x->out, k->on ? (int64_t)k->redirect : -1);
    firn_reply_str(x->out, "prefixes");
    firn_reply_array(x->out, k->nprefix);
    for (size_t i = 0; i < k->nprefix; i++)
        firn_reply_bulk(x->out, firn_buf_slice(&k->prefix[i]));
    return FIRN_OK;
}
