//! `offhook users`.

use std::io::Read as _;
use std::process::ExitCode;

use offhook::config::{Role, Secret};
use offhook::house::people as rules;
use offhook::house::principal::Principal;
use offhook::lab::tune::table::{Align, Table};
use offhook::store::people::{NewLink, People, User};
use offhook::store::{self, Store};
use serde_json::json;

use super::{Failure, Kept, say};

/// Flags of `offhook users`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    kept: Kept,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make a member of somebody: print a link by which they set their password, once.
    Add {
        /// E-mail address.
        email: String,
        /// What they may do: member, builder, admin, owner.
        #[arg(long, value_parser = role)]
        role: Role,
        /// Read the password from standard input instead, and make the user now.
        #[arg(long)]
        password_stdin: bool,
    },
    /// List users.
    List {
        /// Print a JSON list instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Give somebody another role. Their sessions end.
    Role {
        /// E-mail address.
        email: String,
        /// member, builder, admin, owner.
        #[arg(value_parser = role)]
        role: Role,
    },
    /// Take somebody out of the organization. Their sessions end.
    Remove {
        /// E-mail address.
        email: String,
    },
    /// Print a link by which somebody sets a new password, once, within a day. Without an address: the link for the first
    /// owner, where there is no user yet.
    Link {
        /// E-mail address.
        email: Option<String>,
    },
}

/// Makes, lists, changes or removes users.
pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let people = people(&args.kept).await?;
    let who = Principal::Operator;
    match args.what {
        What::Add { email, role, password_stdin } => {
            let email = rules::email(&email).map_err(|no| no.to_string())?;
            if password_stdin {
                let password = password(&email)?;
                let hash = people.hasher().hash(password).await.map_err(|error| error.to_string())?;
                people.add_user(&who, &email, role, Some(hash)).await.map_err(|error| error.to_string())?;
                say(&format!("{email} is {} now\n", role.title()));
            } else {
                let new = people.invite(&who, &email, role).await.map_err(|error| error.to_string())?;
                say(&format!("{email} becomes {} by this link, once, within seven days:\n", role.title()));
                say(&address(&args.kept, &new));
            }
        }
        What::List { json } => list(&people, json).await?,
        What::Role { email, role } => {
            let user = user(&people, &email).await?;
            people.set_role(&who, &user.id, role).await.map_err(|error| error.to_string())?;
            say(&format!("{} is {} now\n", user.email, role.title()));
        }
        What::Remove { email } => {
            let user = user(&people, &email).await?;
            people.remove_user(&who, &user.id).await.map_err(|error| error.to_string())?;
            say(&format!("{} is out of the organization\n", user.email));
        }
        What::Link { email: None } => {
            let new = people.first_link().await.map_err(|error| error.to_string())?;
            let new = new.ok_or("there are users already; name the one who is to set a new password")?;
            say("the first owner is made by this link, once, within a day:\n");
            say(&address(&args.kept, &new));
        }
        What::Link { email: Some(email) } => {
            let email = rules::email(&email).map_err(|no| no.to_string())?;
            let new = people.password_link(&who, &email).await.map_err(|error| error.to_string())?;
            say(&format!("{email} sets a new password by this link, once, within a day:\n"));
            say(&address(&args.kept, &new));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(people: &People, as_json: bool) -> Result<(), Failure> {
    let users = people.users(None, MOST).await.map_err(|error| error.to_string())?;
    if as_json {
        let all: Vec<_> = users
            .iter()
            .map(|user| {
                json!({
                    "id": user.id,
                    "email": user.email,
                    "role": user.role.name(),
                    "second_factor": user.has_factor,
                    "created": store::written(user.created_ms),
                    "logged_in": user.logged_in_ms.map(store::written),
                })
            })
            .collect();
        let text = serde_json::to_string_pretty(&all).map_err(|error| error.to_string())?;
        say(&(text + "\n"));
        return Ok(());
    }
    if users.is_empty() {
        say("there are no users; `offhook users link` prints a link for the first owner\n");
        return Ok(());
    }
    let columns = ["user", "role", "second factor", "created (UTC)", "last log-in (UTC)"];
    let mut table = Table::new(&columns.map(|name| (name, Align::Left)));
    for user in users {
        let factor = if user.has_factor { "yes" } else { "no" }.to_owned();
        let logged_in = user.logged_in_ms.map_or_else(|| "never".to_owned(), |ms| store::written(ms).replace('T', " "));
        let created = store::written(user.created_ms).replace('T', " ");
        table.row([user.email, user.role.title().to_owned(), factor, created, logged_in]);
    }
    say(&table.text());
    Ok(())
}

/// More users than an organization can have.
const MOST: u64 = 100_000;

/// The people of the store that is meant.
pub(super) async fn people(kept: &Kept) -> Result<People, Failure> {
    let desk = Store::open(&kept.data()?, kept.store_url()?.as_ref()).await.map_err(|error| error.to_string())?;
    Ok(desk.people())
}

/// A role by its name.
pub(super) fn role(text: &str) -> Result<Role, String> {
    let found = Role::ALL.iter().find(|(name, _)| *name == text).map(|(_, role)| *role);
    found.ok_or_else(|| "allowed: member, builder, admin, owner".to_owned())
}

async fn user(people: &People, email: &str) -> Result<User, Failure> {
    let email = rules::email(email).map_err(|no| no.to_string())?;
    let found = people.user_of(&email).await.map_err(|error| error.to_string())?;
    found.ok_or_else(|| format!("there is no user {email}; `offhook users list` lists them"))
}

/// Where a link leads, as far as the configuration says where the server is.
fn address(kept: &Kept, new: &NewLink) -> String {
    let base = offhook::config::people_url_of(&kept.config).unwrap_or_default();
    format!("{base}/welcome/{}\n", new.secret.expose())
}

/// One line of standard input.
fn password(email: &str) -> Result<Secret, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().take(1_000).read_to_string(&mut text);
    read.map_err(|error| format!("standard input cannot be read: {error}"))?;
    let text = text.lines().next().unwrap_or_default();
    rules::password(text, Some(email)).map_err(|no| no.to_string())?;
    Ok(Secret::new(text))
}
