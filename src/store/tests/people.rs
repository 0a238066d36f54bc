//! Users, sessions, links, keys and the log of what was done.

use sea_orm::ConnectionTrait as _;

use super::*;
use crate::config::Role;
use crate::house::Refusal;
use crate::house::people::KeyWish;
use crate::house::principal::{Principal, Scopes};
use crate::store::people::{AuditFilter, LinkKind, OrgSettings, People, User, factor_code};

const WHO: Principal = Principal::Operator;

on_both! {
    role_07_a_link_makes_the_first_owner_once,
    role_07_a_server_that_is_started_again_and_again_still_prints_a_link,
    role_07_the_links_of_who_is_taken_out_are_good_for_nothing,
    role_01_two_owners_who_unmake_each_other_leave_one,
    role_07_sessions_end_by_themselves_by_log_out_and_by_what_changes,
    role_07_a_second_factor_is_confirmed_used_once_and_given_up,
    sec_01_secrets_of_second_factors_are_sealed_those_from_before_too,
    role_05_who_is_invited_becomes_what_the_invitation_says,
    api_02_a_key_is_known_by_its_hash_until_it_is_over,
    vis_04_access_tokens_count_their_uses_by_origin,
    dep_05_an_agent_of_the_name_of_one_that_is_gone_has_none_of_its_tokens,
    x_10_what_was_done_is_found_by_object_who_and_kind,
}

fn rule<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> Refusal {
    match answer {
        Err(StoreError::Rule(no)) => no,
        other => panic!("{other:?}"),
    }
}

async fn user(people: &People, email: &str, role: Role) -> User {
    people.add_user(&WHO, email, role, Some("$hash".to_owned())).await.unwrap()
}

fn as_user(user: &User) -> Principal {
    let User { id, email, role, .. } = user.clone();
    Principal::User { id, email, role, session: String::new(), lacks_factor: false }
}

async fn role_07_a_link_makes_the_first_owner_once(place: Place) {
    let store = place.store().await;
    let people = store.people();
    let (one, other) = (people.first_link().await.unwrap().unwrap(), people.first_link().await.unwrap().unwrap());
    let secret = one.secret.expose();
    assert_eq!(people.link(secret).await.unwrap().kind, LinkKind::First);
    assert_eq!(rule(people.use_link(secret, Some("nobody"), "$hash".into()).await).code, "email");
    // Two at once: one of them is first.
    let uses = [0, 1].map(|_| people.use_link(secret, Some("Ann@example.com"), "$hash".into()));
    let [a, b] = uses;
    let (a, b) = tokio::join!(a, b);
    assert!(a.is_ok() != b.is_ok(), "{a:?} {b:?}");
    assert_eq!(rule(a.and(b)).status, 410);
    let ann = people.user_of("ann@example.com").await.unwrap().unwrap();
    assert_eq!((ann.role, ann.has_password), (Role::Owner, true));
    assert_eq!(rule(people.link(secret).await).status, 410);
    // Another one that was printed before is good for nothing now.
    let late = people.use_link(other.secret.expose(), Some("eve@example.com"), "$hash".into()).await;
    assert_eq!(rule(late).status, 410);
    assert!(people.first_link().await.unwrap().is_none());
    for unknown in ["", "oh_link_", "%", &secret[..50]] {
        assert_eq!(rule(people.link(unknown).await).status, 404);
    }
    store.stop().await;
}

async fn role_07_a_server_that_is_started_again_and_again_still_prints_a_link(place: Place) {
    let store = place.store().await;
    let people = store.people();
    let mut last = None;
    for _ in 0..30 {
        last = people.first_link().await.unwrap();
    }
    let count = entity_count(&place, "SELECT count(*) FROM links").await;
    assert_eq!(count, 10, "the newest are good");
    // Those whose time is over take nobody's place, though they are remembered for a month.
    let over = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) \
        INSERT INTO links (id, hash, kind, role, made_by, made_ms, expires_ms) \
        SELECT 'a' || i, 'h' || i, 'invitation', 'member', 'x', 0, 1 FROM n";
    place.sql(over).await;
    assert!(people.first_link().await.unwrap().is_some());
    people.use_link(last.unwrap().secret.expose(), Some("ann@x.org"), "$hash".into()).await.unwrap();
    store.stop().await;
}

async fn entity_count(place: &Place, text: &str) -> i64 {
    let db = place.connect().await;
    let row = db.query_one_raw(sql::statement(&db, text)).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

async fn role_07_the_links_of_who_is_taken_out_are_good_for_nothing(place: Place) {
    let store = place.store().await;
    let people = store.people();
    let ann = user(&people, "ann@x.org", Role::Member).await;
    let link = people.password_link(&WHO, "ann@x.org").await.unwrap();
    people.remove_user(&WHO, &ann.id).await.unwrap();
    user(&people, "ann@x.org", Role::Admin).await;
    let used = people.use_link(link.secret.expose(), None, "$stolen".into()).await;
    assert_eq!(rule(used).status, 404, "whoever has the old one is not who was made since");
    store.stop().await;
}

async fn role_01_two_owners_who_unmake_each_other_leave_one(place: Place) {
    let store = place.store().await;
    let beside = place.beside();
    let second = if place.url.is_some() { beside.store().await } else { store.clone() };
    let (people, others) = (store.people(), second.people());
    let (ann, ben) = (user(&people, "ann@x.org", Role::Owner).await, user(&people, "ben@x.org", Role::Owner).await);
    for _ in 0..3 {
        let (by_ann, by_ben) = (as_user(&ann), as_user(&ben));
        let (a, b) = tokio::join!(
            people.set_role(&by_ann, &ben.id, Role::Member),
            others.set_role(&by_ben, &ann.id, Role::Admin)
        );
        let refused = if a.is_ok() { rule(b) } else { rule(a) };
        assert_eq!((refused.status, refused.message.as_str()), (409, "An organization needs an owner."));
        for id in [&ann.id, &ben.id] {
            people.set_role(&WHO, id, Role::Owner).await.unwrap();
        }
    }
    let (by_ann, by_ben) = (as_user(&ann), as_user(&ben));
    let (a, b) = tokio::join!(people.remove_user(&by_ann, &ben.id), others.remove_user(&by_ben, &ann.id));
    assert!(a.is_ok() != b.is_ok());
    let left = people.users(None, 10).await.unwrap();
    assert_eq!((left.len(), left[0].role), (1, Role::Owner));
    assert_eq!(rule(people.remove_user(&WHO, &left[0].id).await).code, "last_owner");
    if place.url.is_some() {
        second.stop().await;
    }
    store.stop().await;
}

async fn role_07_sessions_end_by_themselves_by_log_out_and_by_what_changes(place: Place) {
    let store = place.store().await;
    let people = store.people();
    let ann = user(&people, "ann@x.org", Role::Owner).await;
    let ben = user(&people, "ben@x.org", Role::Admin).await;
    let begin = async |user: &User| people.log_in(&user.id, "192.0.2.1", "Browser\n1").await.unwrap();
    let is_alive =
        async |new: &crate::store::people::NewSession| people.session(new.secret.expose()).await.unwrap().is_some();
    let (one, two) = (begin(&ben).await, begin(&ben).await);
    assert_ne!(one.secret.expose(), two.secret.expose());
    let found = people.session(one.secret.expose()).await.unwrap().unwrap();
    assert_eq!((found.user.email.as_str(), found.session.browser.as_str()), ("ben@x.org", "Browser1"));
    // One is ended by its user, and not by another.
    assert_eq!(rule(people.log_out("user ann", &ann.id, &one.session.id).await).status, 404);
    people.log_out("user ben", &ben.id, &one.session.id).await.unwrap();
    assert!(!is_alive(&one).await && is_alive(&two).await);
    // A new password ends them all, as does a new role.
    people.set_password("user ben", &ben.id, "$other".into()).await.unwrap();
    assert!(!is_alive(&two).await);
    let three = begin(&ben).await;
    people.set_role(&WHO, &ben.id, Role::Builder).await.unwrap();
    assert!(!is_alive(&three).await);
    // Unseen for 12 hours, or 30 days old.
    let (four, five) = (begin(&ben).await, begin(&ben).await);
    let id = &four.session.id;
    place.sql(&format!("UPDATE sessions SET seen_ms = seen_ms - 43200000 WHERE id = '{id}'")).await;
    assert!(!is_alive(&four).await && is_alive(&five).await);
    assert_eq!(people.sessions(&ben.id).await.unwrap().len(), 1);
    place.sql("UPDATE sessions SET ends_ms = made_ms").await;
    assert!(!is_alive(&five).await);
    // Who is seen after a minute is written down, and goes on.
    let six = begin(&ben).await;
    place.sql("UPDATE sessions SET seen_ms = seen_ms - 43100000").await;
    while people.sessions(&ben.id).await.unwrap()[0].seen_ms < six.session.seen_ms {
        assert!(is_alive(&six).await);
    }
    for _ in 0..25 {
        begin(&ann).await;
    }
    assert_eq!(people.sessions(&ann.id).await.unwrap().len(), 20);
    people.log_out_everywhere("user ann", &ann.id, None).await.unwrap();
    assert_eq!(people.sessions(&ann.id).await.unwrap(), []);
    people.remove_user(&WHO, &ben.id).await.unwrap();
    assert!(!is_alive(&six).await);
    store.stop().await;
}

async fn role_07_a_second_factor_is_confirmed_used_once_and_given_up(place: Place) {
    let store = place.store().await;
    let people = store.people();
    assert_eq!(people.settings().await.unwrap(), OrgSettings::default());
    people.set_settings("terminal", OrgSettings { second_factor: true }).await.unwrap();
    people.set_settings("terminal", OrgSettings { second_factor: true }).await.unwrap();
    assert!(people.settings().await.unwrap().second_factor);
    let ann = user(&people, "ann@x.org", Role::Owner).await;
    assert_eq!(rule(people.confirm_factor("user ann", &ann.id, "123456").await).code, "no_second_factor");
    let secret = people.begin_factor(&ann.id).await.unwrap().secret;
    let code = || factor_code(&secret, now_ms() as u64 / 1_000).unwrap();
    assert_eq!(rule(people.confirm_factor("user ann", &ann.id, "12345").await).code, "second_factor_wrong");
    assert!(!people.use_code(&ann.id, &code()).await.unwrap(), "not in force yet");
    let shown = code();
    let recovery = people.confirm_factor("user ann", &ann.id, &shown).await.unwrap();
    assert!(people.user(&ann.id).await.unwrap().has_factor);
    assert!(!people.use_code(&ann.id, &shown).await.unwrap(), "its step was used");
    // A step that is used is used on all servers; of two at once one is heard.
    place.sql("UPDATE users SET factor_step = 0").await;
    let now = code();
    let (a, b) = tokio::join!(people.use_code(&ann.id, &now), people.use_code(&ann.id, &now));
    assert!(a.unwrap() != b.unwrap());
    assert!(people.use_code(&ann.id, &recovery[3].to_uppercase()).await.unwrap());
    assert!(!people.use_code(&ann.id, &recovery[3]).await.unwrap());
    people.drop_factor("user ann", &ann.id).await.unwrap();
    assert!(!people.use_code(&ann.id, &recovery[0]).await.unwrap());
    assert_eq!(rule(people.drop_factor("user ann", &ann.id).await).code, "no_second_factor");
    store.stop().await;
}

async fn sec_01_secrets_of_second_factors_are_sealed_those_from_before_too(place: Place) {
    let store = place.store().await;
    let people = store.people();
    let [ann, ben] = [user(&people, "ann@x.org", Role::Owner).await, user(&people, "ben@x.org", Role::Admin).await];
    let (before, with_key) = (Secret::new("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"), store.core.settings.borrow().clone());
    let code = |secret: &Secret| factor_code(secret, now_ms() as u64 / 1_000).unwrap();
    // Without a key none is kept, and what was kept before goes on.
    let mut without = with_key.clone();
    without.store.seal_key = None;
    store.set(without);
    let no = rule(people.begin_factor(&ann.id).await.map(|_| ()));
    assert_eq!((no.code, no.status), ("no_seal_key", 409));
    assert!(no.message.contains("[store] seal_key in offhook.toml is not set"), "{no:?}");
    place.sql(&format!("UPDATE users SET factor = '{0}', factor_pending = '{0}'", before.expose())).await;
    assert!(people.use_code(&ben.id, &code(&before)).await.unwrap());
    // With one they are sealed, each for its user.
    store.set(with_key.clone());
    people.seal_factors().await.unwrap();
    let kept = people.kept_factors().await.unwrap();
    assert!(kept.len() == 4 && kept.iter().all(|kept| kept.starts_with("v1:") && !kept.contains(before.expose())));
    place.sql("UPDATE users SET factor_step = 0").await;
    assert!(people.use_code(&ann.id, &code(&before)).await.unwrap());
    let secret = people.begin_factor(&ann.id).await.unwrap().secret;
    let recovery = people.confirm_factor("user ann", &ann.id, &code(&secret)).await.unwrap();
    let kept = people.kept_factors().await.unwrap();
    assert!(kept.len() == 3 && kept.iter().all(|kept| kept.starts_with("v1:") && !kept.contains(secret.expose())));
    // One that was copied into another row, or sealed with another key, is none.
    place.sql("UPDATE users SET factor_step = 0").await;
    place.sql("UPDATE users SET factor = (SELECT factor FROM users WHERE email = 'ann@x.org')").await;
    assert!(!people.use_code(&ben.id, &code(&secret)).await.unwrap());
    assert!(people.use_code(&ann.id, &code(&secret)).await.unwrap());
    let mut other = with_key;
    other.store.seal_key = Some(Secret::new("another key, of thirty-two bytes"));
    store.set(other);
    place.sql("UPDATE users SET factor_step = 0").await;
    assert!(!people.use_code(&ann.id, &code(&secret)).await.unwrap());
    assert!(people.use_code(&ann.id, &recovery[0]).await.unwrap(), "these are kept by their hash");
    store.stop().await;
}

async fn role_05_who_is_invited_becomes_what_the_invitation_says(place: Place) {
    let store = place.store().await;
    let people = store.people();
    let ann = user(&people, "ann@x.org", Role::Admin).await;
    let ann = as_user(&ann);
    assert_eq!(rule(people.invite(&ann, "ben@x.org", Role::Owner).await).message, "This needs the role Owner.");
    assert_eq!(rule(people.invite(&ann, "ann@x.org", Role::Member).await).code, "email_taken");
    let first = people.invite(&ann, "ben@x.org", Role::Builder).await.unwrap();
    let again = people.invite(&ann, "ben@x.org", Role::Member).await.unwrap();
    assert_eq!(rule(people.link(first.secret.expose()).await).status, 404, "the newer one counts");
    assert_eq!(people.invitations(None, 10).await.unwrap(), std::slice::from_ref(&again.link));
    // What somebody says of themselves does not count.
    let ben = people.use_link(again.secret.expose(), Some("eve@x.org"), "$hash".into()).await.unwrap();
    assert_eq!((ben.email.as_str(), ben.role), ("ben@x.org", Role::Member));
    assert_eq!(people.invitations(None, 10).await.unwrap(), []);
    let carl = people.invite(&ann, "carl@x.org", Role::Builder).await.unwrap();
    people.uninvite(&ann, &carl.link.id).await.unwrap();
    assert_eq!(rule(people.uninvite(&ann, &carl.link.id).await).status, 404);
    let dora = people.invite(&ann, "dora@x.org", Role::Builder).await.unwrap();
    place.sql("UPDATE links SET expires_ms = made_ms").await;
    assert_eq!(rule(people.use_link(dora.secret.expose(), None, "$hash".into()).await).status, 410);
    // A new password by a link; the sessions of the old one end.
    let session = people.log_in(&ben.id, "192.0.2.1", "").await.unwrap();
    let link = people.password_link(&ann, "ben@x.org").await.unwrap();
    let set = people.use_link(link.secret.expose(), None, "$new".into()).await.unwrap();
    assert_eq!(set.id, ben.id);
    assert_eq!(people.session(session.secret.expose()).await.unwrap(), None);
    assert_eq!(people.credentials("ben@x.org").await.unwrap().unwrap().password.as_deref(), Some("$new"));
    user(&people, "owner@x.org", Role::Owner).await;
    assert_eq!(rule(people.password_link(&ann, "owner@x.org").await).code, "role");
    // Pages, the newest first.
    let page = people.users(None, 2).await.unwrap();
    let rest = people.users(Some(&page[1].id), 10).await.unwrap();
    let emails: Vec<_> = page.iter().chain(&rest).map(|user| user.email.as_str()).collect();
    assert_eq!(emails, ["owner@x.org", "ben@x.org", "ann@x.org"]);
    store.stop().await;
}

async fn api_02_a_key_is_known_by_its_hash_until_it_is_over(place: Place) {
    let store = place.store().await;
    let people = store.people();
    let wish = |name: &str| KeyWish {
        name: name.to_owned(),
        role: Role::Builder,
        scopes: Scopes::parse(&["calls:read", "agents:write"]).unwrap(),
        agents: Some(vec!["anna".to_owned()]),
        expires_ms: Some(now_ms() + 60_000),
    };
    let (key, secret) = people.add_key(&WHO, wish("staging")).await.unwrap();
    let (other, _) = people.add_key(&WHO, wish("production")).await.unwrap();
    let found = people.key_of(secret.expose()).await.unwrap().unwrap();
    assert_eq!(found, key);
    assert!(secret.expose().ends_with(&key.hint) && !format!("{key:?}").contains(secret.expose()));
    // It is written down when nobody else writes.
    while people.key(&key.id).await.unwrap().used_ms.is_none() {
        people.key_of(secret.expose()).await.unwrap().unwrap();
    }
    match found.principal() {
        Principal::Key { role: Role::Builder, scopes, agents: Some(agents), .. } => {
            assert_eq!((scopes.names(), agents), (wish("").scopes.names(), vec!["anna".to_owned()]));
        }
        other => panic!("{other:?}"),
    }
    for wrong in ["", "oh_key_", &secret.expose().replace("oh_key_", "oh_tok_")] {
        assert_eq!(people.key_of(wrong).await.unwrap(), None);
    }
    assert_eq!(people.keys(None, 10).await.unwrap().len(), 2);
    assert_eq!(people.keys(Some(&other.id), 10).await.unwrap()[0].id, key.id);
    assert_eq!(rule(people.add_key(&WHO, KeyWish { expires_ms: Some(1), ..wish("x") }).await).code, "expires");
    place.sql("UPDATE api_keys SET expires_ms = made_ms").await;
    assert_eq!(people.key_of(secret.expose()).await.unwrap(), None);
    place.sql("UPDATE api_keys SET expires_ms = NULL").await;
    assert!(people.key_of(secret.expose()).await.unwrap().is_some());
    people.remove_key(&WHO, &key.id).await.unwrap();
    assert_eq!(people.key_of(secret.expose()).await.unwrap(), None);
    assert_eq!(rule(people.remove_key(&WHO, &key.id).await).status, 404);
    store.stop().await;
}

async fn vis_04_access_tokens_count_their_uses_by_origin(place: Place) {
    let store = place.store().await;
    let people = store.people();
    let (token, secret) = people.add_access(&WHO, "anna", "partner", None).await.unwrap();
    for origin in ["https://a.example", "https://b.example", "https://a.example"] {
        let found = people.access_of(secret.expose()).await.unwrap().unwrap();
        people.count_access(&found.id, origin).await.unwrap();
        assert_eq!((found.agent.as_str(), found.id.as_str()), ("anna", token.id.as_str()));
    }
    let ids = [token.id.clone()];
    let uses = people.uses(&ids).await.unwrap();
    let counted: Vec<_> = uses.iter().map(|one| (one.origin.as_str(), one.uses)).collect();
    assert_eq!(counted, [("https://a.example", 2), ("https://b.example", 1)]);
    for n in 0..120 {
        people.count_access(&token.id, &format!("https://n{n}.example")).await.unwrap();
    }
    let uses = people.uses(&ids).await.unwrap();
    assert_eq!((uses.len(), uses[0].origin.as_str(), uses[0].uses), (101, "other", 22));
    assert_eq!(rule(people.remove_access(&WHO, "ben", &token.id).await).status, 404, "another agent's");
    people.remove_access(&WHO, "anna", &token.id).await.unwrap();
    assert_eq!(people.access_of(secret.expose()).await.unwrap(), None);
    assert_eq!(people.uses(&ids).await.unwrap(), []);
    // The password beside it.
    let right = || Secret::new("open sesame please");
    assert!(!people.is_agent_password("anna", right()).await.unwrap());
    for text in ["something else", right().expose()] {
        let hash = people.hasher().hash(Secret::new(text)).await.unwrap();
        people.set_agent_password(&WHO, "anna", Some(hash)).await.unwrap();
    }
    assert!(people.is_agent_password("anna", right()).await.unwrap());
    assert!(!people.is_agent_password("ben", right()).await.unwrap());
    assert_eq!(people.agent_password("anna").await.unwrap().unwrap().made_by, "terminal");
    people.set_agent_password(&WHO, "anna", None).await.unwrap();
    assert_eq!(rule(people.set_agent_password(&WHO, "anna", None).await).status, 404);
    store.stop().await;
}

async fn dep_05_an_agent_of_the_name_of_one_that_is_gone_has_none_of_its_tokens(place: Place) {
    let store = place.store().await;
    let people = store.people();
    let mut secrets = Vec::new();
    for agent in ["anna", "ben"] {
        secrets.push(people.add_access(&WHO, agent, "partner", None).await.unwrap().1);
        people.set_agent_password(&WHO, agent, Some("$hash".to_owned())).await.unwrap();
    }
    people.forget_agent("anna").await.unwrap();
    let found = async |n: usize| people.access_of(secrets[n].expose()).await.unwrap().is_some();
    assert_eq!((found(0).await, found(1).await), (false, true));
    let has = async |agent: &str| people.agent_password(agent).await.unwrap().is_some();
    assert_eq!((has("anna").await, has("ben").await), (false, true));
    store.stop().await;
}

async fn x_10_what_was_done_is_found_by_object_who_and_kind(place: Place) {
    let store = place.store().await;
    let people = store.people();
    let ann = user(&people, "ann@x.org", Role::Owner).await;
    store.audit("user ann@x.org", "deployment.rotate", "shop", Some(json!({ "key": "new" }))).await.unwrap();
    store.audit("key ci", "deployment.change", "shop", None).await.unwrap();
    let found = async |filter: AuditFilter, before, limit| {
        people.audited(&filter, before, limit).await.unwrap().into_iter().map(|row| row.action).collect::<Vec<_>>()
    };
    let of_shop = AuditFilter { objects: vec!["shop".into()], ..AuditFilter::default() };
    assert_eq!(found(of_shop.clone(), None, 10).await, ["deployment.change", "deployment.rotate"]);
    let newest = people.audited(&of_shop, None, 1).await.unwrap();
    assert_eq!(found(of_shop, Some(newest[0].seq), 10).await, ["deployment.rotate"]);
    let by = AuditFilter { who: Some("terminal".into()), action: Some("user".into()), ..AuditFilter::default() };
    assert_eq!(found(by, None, 10).await, ["user.add"]);
    let kind = AuditFilter { action: Some("deployment.rotate".into()), ..AuditFilter::default() };
    assert_eq!(found(kind, None, 10).await.len(), 1);
    for other in ["USER", "us_r", "%", "deployment.ROTATE", "deploy", "deploy_ent", "deployment.rotat", "!"] {
        let other = AuditFilter { action: Some(other.into()), ..AuditFilter::default() };
        assert_eq!(found(other.clone(), None, 10).await, [""; 0], "{other:?}");
    }
    let late = AuditFilter { since_ms: Some(now_ms() + 60_000), ..AuditFilter::default() };
    assert_eq!(found(late, None, 10).await, [""; 0]);
    // A command reads and adds beside the server.
    let desk = place.desk().await.unwrap().people();
    desk.set_role(&WHO, &ann.id, Role::Owner).await.unwrap();
    desk.add_user(&WHO, "ben@x.org", Role::Member, None).await.unwrap();
    assert!(people.user_of("ben@x.org").await.unwrap().is_some_and(|ben| !ben.has_password));
    // Old entries go, as do links and sessions that are over.
    people.invite(&WHO, "carl@x.org", Role::Member).await.unwrap();
    people.log_in(&ann.id, "", "").await.unwrap();
    let old = "UPDATE audit SET at_ms = at_ms - 401 * CAST(86400000 AS BIGINT); UPDATE sessions SET ends_ms = 1; \
        UPDATE links SET expires_ms = 1";
    place.sql(old).await;
    crate::store::people::forget(&store.core).await.unwrap();
    assert_eq!(found(AuditFilter::default(), None, 10).await, [""; 0]);
    for table in ["links", "sessions"] {
        assert_eq!(entity_count(&place, &format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
    }
    store.stop().await;
}
