use super::*;
use crate::config::Role;
use crate::house::access::*;

fn member(role: Role) -> Member {
    Member { email: format!("{role:?}@example.test").to_lowercase(), role }
}

#[test]
fn acc_01_acc_02_each_channel_has_its_modes() {
    let modes = [
        Access::Public,
        Access::Organization,
        Access::RoleBased(Role::Builder),
        Access::InviteOnly(vec!["a@example.test".to_owned()]),
    ];
    for mode in &modes {
        assert_eq!(check(Channel::Phone, Some(mode)), Ok(()));
        let internal = check(Channel::Internal, Some(mode)).map_err(|refusal| refusal.message);
        match mode {
            Access::Public => assert_eq!(internal, Err("Public is not available for internal chat.".to_owned())),
            _ => assert_eq!(internal, Ok(())),
        }
        let website = check(Channel::Website, Some(mode)).unwrap_err();
        assert_eq!((website.status, website.message.as_str()), (422, "Website deployments have no access mode."));
    }
    assert_eq!(default_mode(Channel::Phone), Some(Access::Public));
    assert_eq!(default_mode(Channel::Internal), Some(Access::Organization));
    assert_eq!(default_mode(Channel::Website), None);
    assert_eq!(check(Channel::Website, None), Ok(()));
}

#[test]
fn acc_03_an_empty_list_is_refused_and_the_picker_stands_on_builder() {
    let refusal = check(Channel::Phone, Some(&Access::InviteOnly(Vec::new()))).unwrap_err();
    assert_eq!((refusal.status, refusal.message.as_str()), (422, "Select at least one member."));
    assert_eq!(DEFAULT_ROLE, Role::Builder);
    assert_eq!(check(Channel::Internal, Some(&Access::RoleBased(Role::Admin))), Ok(()));
    for no_choice in [Role::Member, Role::Owner] {
        assert_eq!(check(Channel::Phone, Some(&Access::RoleBased(no_choice))).unwrap_err().code, "access_role");
    }
}

#[test]
fn acc_04_roles_count_upwards_and_a_list_is_a_list() {
    let admits = |access: Access, role| {
        let member = member(role);
        admits(Channel::Internal, Visibility::Public, Some(&access), Visitor::Member(&member)).is_ok()
    };
    let roles = [Role::Member, Role::Builder, Role::Admin, Role::Owner];
    for (access, expected) in [
        (Access::Organization, [true, true, true, true]),
        (Access::RoleBased(Role::Builder), [false, true, true, true]),
        (Access::RoleBased(Role::Admin), [false, false, true, true]),
        (Access::InviteOnly(vec!["member@example.test".to_owned()]), [true, false, false, false]),
    ] {
        assert_eq!(roles.map(|role| admits(access.clone(), role)), expected, "{access:?}");
    }
}

#[test]
fn vis_03_what_an_internal_agent_asks_of_each_channel() {
    let member = member(Role::Member);
    let visitors = [Visitor::Unknown, Visitor::Token, Visitor::Member(&member)];
    let (visible, closed) = (Err(Door::Visibility), Err(Door::Access));
    for (channel, access, public, internal) in [
        (Channel::Phone, Some(Access::Public), [Ok(()); 3], [visible, Ok(()), Ok(())]),
        (Channel::Phone, Some(Access::Organization), [closed, closed, Ok(())], [visible, closed, Ok(())]),
        (Channel::Phone, None, [Ok(()); 3], [visible, Ok(()), Ok(())]),
        (Channel::Website, None, [Ok(()); 3], [visible, Ok(()), Ok(())]),
        // As it was.
        (Channel::Internal, Some(Access::Organization), [closed, closed, Ok(())], [closed, closed, Ok(())]),
        (Channel::Internal, None, [closed, closed, Ok(())], [closed, closed, Ok(())]),
    ] {
        for (visibility, expected) in [(Visibility::Public, public), (Visibility::Internal, internal)] {
            let got = visitors.map(|visitor| admits(channel, visibility, access.as_ref(), visitor));
            assert_eq!(got, expected, "{channel:?} {access:?} {visibility:?}");
        }
    }
}

#[test]
fn x_03_who_is_not_known_is_asked_and_who_is_known_is_refused() {
    let member = member(Role::Member);
    for (door, visitor, status) in [
        (Door::Visibility, Visitor::Unknown, 401),
        (Door::Access, Visitor::Unknown, 401),
        (Door::Access, Visitor::Token, 403),
        (Door::Access, Visitor::Member(&member), 403),
    ] {
        assert_eq!(door.refusal(visitor).status, status, "{door:?} {visitor:?}");
    }
}
