//! The commands of an entity, made from its descriptors: create, get, list, update, delete and reveal, the same for every one.

use clap::{Arg, ArgAction, ArgMatches, Args as _, Command, FromArgMatches as _, ValueHint};
use prost_reflect::{DynamicMessage, Value};
use sealward_client::{EntityType, ListOptions, WriteOptions};
use serde_json::Map;

use super::reveal;
use crate::{
    attribute_help::attributes,
    confirmation::Confirmation,
    connection::Connection,
    failure::Failure,
    output::{self, Listed, Output},
    pages::PageOptions,
    record::{Given, Purpose},
    secret_input::Secrets,
    spelling::command_name,
    stderr,
};

pub(super) fn command(entity: &EntityType) -> Command {
    let name = command_name(entity);
    let words = entity.options.singular.replace('_', " ");
    Command::new(name.clone())
        .about(first_sentence(&entity.description))
        .subcommand(create(entity, &name, &words))
        .subcommand(get(&name, &words))
        .subcommand(list(&name, &words))
        .subcommand(update(entity, &name, &words))
        .subcommand(delete(&name, &words))
        .subcommand(reveal::command(Command::new(REVEAL), Some(entity)))
}

pub(super) async fn run(
    entity: &EntityType,
    matches: &ArgMatches,
    connection: &Connection,
    output: &Output,
    secrets: &mut dyn Secrets,
) -> Result<(), Failure> {
    match matches.subcommand() {
        Some((CREATE, matches)) => run_create(entity, matches, connection, output, secrets).await,
        Some((GET, matches)) => run_get(entity, matches, connection, output).await,
        Some((LIST, matches)) => run_list(entity, matches, connection, output).await,
        Some((UPDATE, matches)) => run_update(entity, matches, connection, output, secrets).await,
        Some((DELETE, matches)) => run_delete(entity, matches, connection).await,
        Some((REVEAL, matches)) => reveal::run(Some(entity), matches, connection, output).await,
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
    let mut command = format!("  sealward {name} create");
    if entity.options.id_required {
        command.push_str(" --id 0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506");
    }
    let mut example = command.clone();
    if let Some(attribute) = example_attribute(entity) {
        example.push_str(&format!(" --set {attribute}=TEXT"));
    }
    if let Some(secret) = entity.encrypted().next() {
        example.push_str(&format!(" --secret {secret}"));
    }
    example.push_str(&format!("\n{command} --json {name}.json"));
    let create = Command::new(CREATE).about(format!("Create a record ({words}) and show it as it is stored")).arg(id);
    with_examples(with_attributes(create), &example, &attributes(entity, Purpose::Create))
}

fn update(entity: &EntityType, name: &str, words: &str) -> Command {
    let mut examples = String::new();
    if let Some(secret) = entity.encrypted().next() {
        examples.push_str(&format!("  sealward {name} update ID --secret {secret}\n"));
        examples.push_str(&format!("  sealward {name} update ID --clear {secret}\n"));
    }
    examples.push_str(&format!(
        "  sealward {name} get ID >{name}.json; edit it; sealward {name} update ID --json {name}.json"
    ));
    let command = Command::new(UPDATE)
        .about(format!("Write the attributes that are given, of one record ({words}); others stay as they are"))
        .arg(record_argument())
        .arg(etag_argument("Write only if this still is its etag. Default: the etag in the JSON, if there is one"))
        .arg(
            Arg::new(CLEAR)
                .long(CLEAR)
                .visible_alias("unset")
                .value_name("ATTRIBUTE")
                .value_hint(ValueHint::Other)
                .action(ArgAction::Append)
                .help("Make the attribute null; can be given several times"),
        );
    with_examples(with_attributes(command), &examples, &attributes(entity, Purpose::Update))
}

fn get(name: &str, words: &str) -> Command {
    Command::new(GET)
        .about(format!("Show one record ({words}), or several"))
        .arg(record_argument().num_args(1..).help("The record, by its id or its full name; several give a list"))
        .after_help(format!("Examples:\n  sealward {name} get ID\n  sealward {name} get ID1 ID2 --output json"))
}

fn list(name: &str, words: &str) -> Command {
    // The options come first: they bring words of their own, which the command's replace.
    PageOptions::augment_args(Command::new(LIST))
        .about(format!("List the records ({words}) of the organization, a page at a time"))
        .arg(Arg::new(FILTER).long(FILTER).value_name("FILTER").help(
            "Only records that meet this, such as 'state_code = STATE_CODE_ACTIVE AND update_time > \"2026-01-31T00:00:00Z\"'",
        ))
        .arg(Arg::new(ORDER_BY).long(ORDER_BY).value_name("FIELDS").help("In this order, such as 'update_time desc, name'"))
        .arg(
            Arg::new(FIELDS)
                .long(FIELDS)
                .visible_alias("columns")
                .value_name("FIELD,…")
                .value_delimiter(',')
                .help(
                    "Only these of each: id, name, etag, create_time, update_time, created_by, modified_by and any attribute",
                ),
        )
        .arg(Arg::new(TOTAL).long(TOTAL).action(ArgAction::SetTrue).help("Count the records of all pages too"))
        .after_help(format!(
            "Examples:\n  sealward {name} list\n  sealward {name} list --all --fields id,update_time --order-by 'update_time desc'\n  \
             sealward {name} list --filter 'update_time > \"2026-01-31T00:00:00Z\"' --total\n  \
             sealward {name} list --all --output name"
        ))
}

fn delete(name: &str, words: &str) -> Command {
    with_write_options(Confirmation::augment_args(Command::new(DELETE)))
        .about(format!("Delete one record ({words}), its encrypted attributes included"))
        .arg(record_argument())
        .arg(etag_argument("Delete it only if this still is its etag"))
        .after_help(format!(
            "Examples:\n  sealward {name} delete ID\n  sealward {name} delete ID --etag 3 --yes\n\n\
             A terminal is asked before anything is done; elsewhere it takes --yes."
        ))
}

/// The ways to give attributes, the same for create and update.
fn with_attributes(command: Command) -> Command {
    let many =
        |name: &'static str, value: &'static str| Arg::new(name).long(name).value_name(value).action(ArgAction::Append);
    with_write_options(command)
        .arg(Arg::new(JSON).long(JSON).visible_alias("from-file").value_name("FILE|-").help(
            "Take attributes from JSON, in a file or on stdin; it may have encrypted ones. A null counts as not given",
        ))
        .arg(many(SET, "ATTRIBUTE=VALUE").value_hint(ValueHint::Other).help(
            "Set an attribute that isn't encrypted, a choice by its name or by its number in Dynamics 365; can be given several times and \
             goes before JSON",
        ))
        .arg(many(SECRET, "ATTRIBUTE[=prompt|=@FILE|=-]").help(
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
    Arg::new(NAME)
        .value_name("NAME")
        .value_hint(ValueHint::Other)
        .required(true)
        .help("The record, by its id or its full name")
}

fn etag_argument(help: &'static str) -> Arg {
    Arg::new(ETAG).long(ETAG).value_name("ETAG").help(help)
}

async fn run_create(
    entity: &EntityType,
    matches: &ArgMatches,
    connection: &Connection,
    output: &Output,
    secrets: &mut dyn Secrets,
) -> Result<(), Failure> {
    let record = given(matches).record(entity, Purpose::Create, secrets)?;
    let client = connection.connect().await?;
    let (organization, id) = (connection.organization(), text(matches, ID));
    let created = client.records(entity).create_with(&organization, record.message, id, write_options(matches)).await?;
    let shown = output.record(entity, &created);
    shown.map_err(
        |failure| if is_check(matches) { failure } else { failure.done(stored(entity, &created, "created")) },
    )?;
    tell_of_check(matches);
    Ok(())
}

async fn run_get(
    entity: &EntityType,
    matches: &ArgMatches,
    connection: &Connection,
    output: &Output,
) -> Result<(), Failure> {
    let names = many(matches, NAME);
    let client = connection.connect().await?;
    let mut records = Vec::new();
    for name in &names {
        records.push(client.records(entity).get(&full_name(entity, name, connection)).await?);
    }
    if let [record] = records.as_slice() {
        return output.record(entity, record);
    }
    output.list(Listed {
        collection: &snake_case(&entity.options.collection),
        records: records.iter().map(|record| output::record(entity, record)).collect(),
        columns: output::usual_columns(entity),
        whole: 1,
        more: Map::new(),
    })
}

async fn run_update(
    entity: &EntityType,
    matches: &ArgMatches,
    connection: &Connection,
    output: &Output,
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
        stderr::notice(&format!("Left out, since an update can't write it: {}", record.left_out.join(", ")));
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
    let shown = output.record(entity, &updated);
    report_cleared(&updated, is_check(matches));
    shown.map_err(
        |failure| if is_check(matches) { failure } else { failure.done(stored(entity, &updated, "updated")) },
    )?;
    tell_of_check(matches);
    Ok(())
}

/// Names the encrypted attributes that an update cleared without having been asked to.
fn report_cleared(updated: &DynamicMessage, is_check: bool) {
    let field = updated.get_field_by_name("cleared_attributes");
    let names: Vec<&str> = match field.as_deref() {
        Some(Value::List(names)) => names.iter().filter_map(Value::as_str).collect(),
        Some(_) | None => Vec::new(),
    };
    if !names.is_empty() {
        let (names, secrets) = (names.join(", "), names.join(" --secret "));
        let verb = if is_check { "This would clear" } else { "This cleared" };
        stderr::warning(&format!(
            "{verb} {names}, because it changes where the value is sent. To keep a value, set it in the same update: --secret {secrets}"
        ));
    }
}

async fn run_list(
    entity: &EntityType,
    matches: &ArgMatches,
    connection: &Connection,
    output: &Output,
) -> Result<(), Failure> {
    let fields = many(matches, FIELDS);
    let columns = if fields.is_empty() { output::usual_columns(entity) } else { output::columns(entity, &fields)? };
    let wanted = ListOptions::default()
        .filter(text(matches, FILTER).unwrap_or_default())
        .order_by(text(matches, ORDER_BY).unwrap_or_default())
        .read_mask(output::read_mask(entity, &fields));
    let client = connection.connect().await?;
    let mut pages = PageOptions::from_arg_matches(matches)?.begin();
    while let Some(next) = pages.next() {
        let mut options = wanted.clone().page_size(next.size).page_token(next.token);
        if matches.get_flag(TOTAL) && !pages.has_total() {
            options = options.with_total_size();
        }
        let page = client.records(entity).list(&connection.organization(), options).await?;
        let records = page.records.iter().map(|record| output::record_with(entity, record, &fields));
        pages.take(records.collect(), page.next_page_token, page.total_size);
    }
    pages.show(&snake_case(&entity.options.collection), columns, output)
}

async fn run_delete(entity: &EntityType, matches: &ArgMatches, connection: &Connection) -> Result<(), Failure> {
    let name = name(entity, matches, connection);
    let consequence = format!("This deletes {name}, its encrypted attributes included, for good.");
    let is_check = matches.get_flag(CHECK);
    if !is_check {
        Confirmation::from_arg_matches(matches)?.ask(&consequence)?;
    }
    let etag = text(matches, ETAG).unwrap_or_default();
    connection.connect().await?.records(entity).delete_with(&name, etag, write_options(matches)).await?;
    if !is_check {
        stderr::notice(&format!("Deleted {name}"));
    }
    tell_of_check(matches);
    Ok(())
}

fn is_check(matches: &ArgMatches) -> bool {
    matches.get_flag(CHECK)
}

/// What was done to a record whose answer can't be written, and how to see it.
fn stored(entity: &EntityType, record: &DynamicMessage, done: &str) -> String {
    let name = record.get_field_by_name("name").and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default();
    format!("the record is {done}; to see it: sealward {} get {name}", command_name(entity))
}

fn given(matches: &ArgMatches) -> Given<'_> {
    Given { json: text(matches, JSON), set: many(matches, SET), secret: many(matches, SECRET), clear: Vec::new() }
}

fn write_options(matches: &ArgMatches) -> WriteOptions {
    WriteOptions { validate_only: matches.get_flag(CHECK), request_id: text(matches, REQUEST_ID).map(str::to_owned) }
}

fn tell_of_check(matches: &ArgMatches) {
    if is_check(matches) {
        stderr::notice("The request is valid. Nothing was changed.");
    }
}

fn name(entity: &EntityType, matches: &ArgMatches, connection: &Connection) -> String {
    full_name(entity, text(matches, NAME).unwrap_or_default(), connection)
}

fn full_name(entity: &EntityType, name: &str, connection: &Connection) -> String {
    connection.record_name(&entity.options.collection, name)
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
        let is_plain = !options.encrypted && !options.output_only && !options.uuid && options.reference.is_none();
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
const FILTER: &str = "filter";
const ORDER_BY: &str = "order-by";
const FIELDS: &str = "fields";
const TOTAL: &str = "total";
