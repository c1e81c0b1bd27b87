//! The commands of an entity, made from its descriptors: create, get, list, update, delete and reveal, the same for every one.

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use fieldseal_client::{EntityType, ListOptions, WriteOptions};
use prost_reflect::Value;
use serde_json::{Map, Value as Json};

use super::{
    attribute_help::attributes,
    connection::Connection,
    failure::Failure,
    output,
    record::{Given, Purpose},
    reveal,
    secret_input::Secrets,
};

/// What the entity's commands stand under: `email-server-profile`.
pub(super) fn command_name(entity: &EntityType) -> String {
    entity.options.singular.replace('_', "-")
}

pub(super) fn command(entity: &EntityType) -> Command {
    let name = command_name(entity);
    let words = entity.options.singular.replace('_', " ");
    Command::new(name.clone())
        .about(first_sentence(&entity.description))
        .subcommand(create(entity, &name, &words))
        .subcommand(Command::new(GET).about(format!("Show one record ({words})")).arg(record_argument()))
        .subcommand(list(&words))
        .subcommand(update(entity, &name, &words))
        .subcommand(with_write_options(
            Command::new(DELETE)
                .about(format!("Delete one record ({words}), its encrypted attributes included"))
                .arg(record_argument())
                .arg(etag_argument("Delete it only if this still is its etag")),
        ))
        .subcommand(reveal::command(Command::new(REVEAL), Some(entity)))
}

pub(super) async fn run(
    entity: &EntityType,
    matches: &ArgMatches,
    connection: &Connection,
    secrets: &mut dyn Secrets,
) -> Result<(), Failure> {
    match matches.subcommand() {
        Some((CREATE, matches)) => run_create(entity, matches, connection, secrets).await,
        Some((GET, matches)) => {
            let record = connection.connect().await?.records(entity).get(&name(entity, matches, connection)).await?;
            output::print(&output::record(entity, &record))
        }
        Some((LIST, matches)) => run_list(entity, matches, connection).await,
        Some((UPDATE, matches)) => run_update(entity, matches, connection, secrets).await,
        Some((DELETE, matches)) => {
            let name = name(entity, matches, connection);
            let etag = text(matches, ETAG).unwrap_or_default();
            connection.connect().await?.records(entity).delete_with(&name, etag, write_options(matches)).await?;
            if !matches.get_flag(CHECK) {
                output::notice(&format!("Deleted {name}"));
            }
            tell_of_check(matches);
            Ok(())
        }
        Some((REVEAL, matches)) => reveal::run(Some(entity), matches, connection).await,
        Some(_) | None => Err(Failure::usage("say what to do with it")),
    }
}

fn create(entity: &EntityType, name: &str, words: &str) -> Command {
    let id = Arg::new(ID).long(ID).value_name("UUID").required(entity.options.id_required);
    let id = if entity.options.id_required {
        id.help("Its id")
    } else {
        id.help("Its id; the server draws one if none is given")
    };
    let mut example = format!("  fieldseal {name} create");
    if entity.options.id_required {
        example.push_str(" --id 0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506");
    }
    if let Some(attribute) = example_attribute(entity) {
        example.push_str(&format!(" --set {attribute}=TEXT"));
    }
    if let Some(secret) = entity.encrypted().next() {
        example.push_str(&format!(" --secret {secret}"));
    }
    let command = Command::new(CREATE).about(format!("Create a record ({words}) and show it as it is stored")).arg(id);
    with_examples(
        with_attributes(command),
        &format!("{example}\n  fieldseal {name} create --json {name}.json"),
        &attributes(entity, Purpose::Create),
    )
}

fn update(entity: &EntityType, name: &str, words: &str) -> Command {
    let mut examples = String::new();
    if let Some(secret) = entity.encrypted().next() {
        examples.push_str(&format!("  fieldseal {name} update ID --secret {secret}\n"));
        examples.push_str(&format!("  fieldseal {name} update ID --clear {secret}\n"));
    }
    examples.push_str(&format!(
        "  fieldseal {name} get ID >{name}.json; edit it; fieldseal {name} update ID --json {name}.json"
    ));
    let command = Command::new(UPDATE)
        .about(format!("Write the attributes that are given, of one record ({words}); others stay as they are"))
        .arg(record_argument())
        .arg(etag_argument("Write only if this still is its etag. Default: the etag in the JSON, if there is one"))
        .arg(
            Arg::new(CLEAR)
                .long(CLEAR)
                .value_name("ATTRIBUTE")
                .action(ArgAction::Append)
                .help("Make the attribute null; can be given several times"),
        );
    with_examples(with_attributes(command), &examples, &attributes(entity, Purpose::Update))
}

fn list(words: &str) -> Command {
    Command::new(LIST)
        .about(format!("List the records ({words}) of the organization, a page at a time"))
        .arg(
            Arg::new(PAGE_SIZE)
                .long(PAGE_SIZE)
                .value_name("NUMBER")
                .value_parser(value_parser!(i32))
                .help("How many at most; the server decides if it isn't said"),
        )
        .arg(
            Arg::new(PAGE_TOKEN)
                .long(PAGE_TOKEN)
                .value_name("TOKEN")
                .conflicts_with(ALL)
                .help("The next_page_token of the page before"),
        )
        .arg(Arg::new(ALL).long(ALL).action(ArgAction::SetTrue).help("All pages"))
}

/// The ways to give attributes, the same for create and update.
fn with_attributes(command: Command) -> Command {
    let many =
        |name: &'static str, value: &'static str| Arg::new(name).long(name).value_name(value).action(ArgAction::Append);
    with_write_options(command)
        .arg(Arg::new(JSON).long(JSON).value_name("FILE|-").help(
            "Take attributes from JSON, in a file or on stdin; it may have encrypted ones. A null counts as not given",
        ))
        .arg(many(SET, "ATTRIBUTE=VALUE").help(
            "Set an attribute that isn't encrypted; can be given several times and goes before JSON",
        ))
        .arg(many(SECRET, "ATTRIBUTE[=@FILE|=-]").help(
            "Set an encrypted attribute: asked for without showing it, or from a file or stdin, of which one line break at the \
             end is left out",
        ))
}

/// How a record is written, the same for create, update and delete.
fn with_write_options(command: Command) -> Command {
    command
        .arg(Arg::new(CHECK).long(CHECK).action(ArgAction::SetTrue).help("Only find out whether it would be possible"))
        .arg(Arg::new(REQUEST_ID).long(REQUEST_ID).value_name("UUID").conflicts_with(CHECK).help(
            "Do it once only, however often it is run with this id within 24 hours; one is drawn if none is given",
        ))
}

/// Examples in the short help; the attributes too in the long one.
fn with_examples(command: Command, examples: &str, attributes: &str) -> Command {
    command
        .after_help(format!("Examples:\n{examples}\n\n--help also lists the attributes."))
        .after_long_help(format!("Examples:\n{examples}\n\n{attributes}"))
}

fn record_argument() -> Arg {
    Arg::new(NAME).value_name("NAME").required(true).help("The record, by its id or its full name")
}

fn etag_argument(help: &'static str) -> Arg {
    Arg::new(ETAG).long(ETAG).value_name("ETAG").help(help)
}

async fn run_create(
    entity: &EntityType,
    matches: &ArgMatches,
    connection: &Connection,
    secrets: &mut dyn Secrets,
) -> Result<(), Failure> {
    let record = given(matches).record(entity, Purpose::Create, secrets)?;
    let client = connection.connect().await?;
    let (organization, id) = (connection.organization(), text(matches, ID));
    let created = client.records(entity).create_with(&organization, record.message, id, write_options(matches)).await?;
    output::print(&output::record(entity, &created))?;
    tell_of_check(matches);
    Ok(())
}

async fn run_update(
    entity: &EntityType,
    matches: &ArgMatches,
    connection: &Connection,
    secrets: &mut dyn Secrets,
) -> Result<(), Failure> {
    let name = name(entity, matches, connection);
    let mut given = given(matches);
    given.clear = many(matches, CLEAR);
    let mut record = given.record(entity, Purpose::Update, secrets)?;
    if let Some(other) = record.name.filter(|other| *other != name) {
        return Err(Failure::usage(format!("the JSON is of {other}, and {name} was to be updated")));
    }
    if !record.left_out.is_empty() {
        output::notice(&format!("Left out, since an update can't write it: {}", record.left_out.join(", ")));
    }
    if record.mask.is_empty() {
        return Err(Failure::usage("there is nothing to write: give --set, --secret, --clear or --json"));
    }
    record.message.set_field_by_name("name", Value::String(name));
    if let Some(etag) = text(matches, ETAG).map(str::to_owned).or(record.etag) {
        record.message.set_field_by_name("etag", Value::String(etag));
    }
    let mask: Vec<String> = record.mask.into_iter().collect();
    let client = connection.connect().await?;
    let updated = client.records(entity).update_with(record.message, &mask, write_options(matches)).await?;
    output::print(&output::record(entity, &updated))?;
    tell_of_check(matches);
    Ok(())
}

async fn run_list(entity: &EntityType, matches: &ArgMatches, connection: &Connection) -> Result<(), Failure> {
    let client = connection.connect().await?;
    let options = ListOptions::default()
        .page_size(matches.get_one::<i32>(PAGE_SIZE).copied().unwrap_or_default())
        .page_token(text(matches, PAGE_TOKEN).unwrap_or_default());
    let mut pages = client.records(entity).pages(&connection.organization(), options);
    let mut records = Vec::new();
    let mut page_token = String::new();
    while let Some(page) = pages.next().await? {
        records.extend(page.records.iter().map(|record| output::record(entity, record)));
        page_token = page.next_page_token;
        if !matches.get_flag(ALL) {
            break;
        }
    }
    let mut shown = Map::from_iter([(snake_case(&entity.options.collection), Json::Array(records))]);
    if !page_token.is_empty() {
        shown.insert("next_page_token".to_owned(), Json::String(page_token));
    }
    output::print(&Json::Object(shown))
}

fn given(matches: &ArgMatches) -> Given<'_> {
    Given { json: text(matches, JSON), set: many(matches, SET), secret: many(matches, SECRET), clear: Vec::new() }
}

fn write_options(matches: &ArgMatches) -> WriteOptions {
    WriteOptions { validate_only: matches.get_flag(CHECK), request_id: text(matches, REQUEST_ID).map(str::to_owned) }
}

fn tell_of_check(matches: &ArgMatches) {
    if matches.get_flag(CHECK) {
        output::notice("It is possible. Nothing was changed.");
    }
}

fn name(entity: &EntityType, matches: &ArgMatches, connection: &Connection) -> String {
    connection.record_name(&entity.options.collection, text(matches, NAME).unwrap_or_default())
}

fn text<'a>(matches: &'a ArgMatches, id: &str) -> Option<&'a str> {
    matches.get_one::<String>(id).map(String::as_str)
}

fn many<'a>(matches: &'a ArgMatches, id: &str) -> Vec<&'a str> {
    matches.get_many::<String>(id).unwrap_or_default().map(String::as_str).collect()
}

/// The first text attribute that a caller can set in the clear.
fn example_attribute(entity: &EntityType) -> Option<&str> {
    let example = entity.attributes.iter().find(|attribute| {
        let options = &attribute.options;
        let is_plain = !options.encrypted && !options.output_only && options.reference.is_none();
        is_plain && attribute.field.kind() == prost_reflect::Kind::String
    });
    example.map(|attribute| attribute.name())
}

fn first_sentence(text: &str) -> String {
    text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.').to_owned()
}

/// `emailServerProfiles` as the contract's list answer has it, `email_server_profiles`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}

const CREATE: &str = "create";
const GET: &str = "get";
const LIST: &str = "list";
const UPDATE: &str = "update";
const DELETE: &str = "delete";
const REVEAL: &str = "reveal";

const NAME: &str = "name";
const ID: &str = "id";
const ETAG: &str = "etag";
const JSON: &str = "json";
const SET: &str = "set";
const SECRET: &str = "secret";
const CLEAR: &str = "clear";
const CHECK: &str = "check";
const REQUEST_ID: &str = "request-id";
const PAGE_SIZE: &str = "page-size";
const PAGE_TOKEN: &str = "page-token";
const ALL: &str = "all";
