//! A query of Resource Graph as a tree: a table, then operators behind pipes. What is not in the
//! subset that is understood here is refused by name.

use serde_json::{Value, json};

use super::lexer::{Placed, Token, Unreadable, words};

/// How deep brackets may stand in brackets: whoever reads a tree has only so much stack.
const MOST_DEPTH: usize = 32;

/// The most arguments of a function, which is what `strcat` takes
/// (<https://learn.microsoft.com/kusto/query/strcat-function>).
const MOST_ARGUMENTS: usize = 64;

/// How many members of members one value may name, `a.b.c`.
const MOST_MEMBERS: usize = 24;

/// A whole query.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Query {
    /// The table, in lower case.
    pub(super) table: String,
    pub(super) steps: Vec<Step>,
}

/// One operator behind a pipe.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Where(Expression),
    Extend(Vec<(String, Expression)>),
    Project(Vec<(String, Expression)>),
    ProjectAway(Vec<String>),
    Order(Vec<(Expression, Order)>),
    Take(usize),
    Top(usize, Vec<(Expression, Order)>),
    Count,
    Summarize { count: String, by: Vec<(String, Expression)> },
    Distinct(Vec<(String, Expression)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Ascending,
    Descending,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    Literal(Value),
    /// A column.
    Column(String),
    /// A member or an item of a value.
    Member(Box<Expression>, Box<Expression>),
    /// A function in lower case.
    Call(String, Vec<Expression>),
    /// All of them hold: `and`.
    All(Vec<Expression>),
    /// One of them holds: `or`.
    Any(Vec<Expression>),
    /// Two sides of an operator.
    Binary(Operator, Box<Expression>, Box<Expression>),
    /// `in`, `in~` and their opposites.
    In {
        value: Box<Expression>,
        list: Vec<Expression>,
        folded: bool,
        negated: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    EqualFolded,
    NotEqualFolded,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Contains,
    NotContains,
    Has,
    NotHas,
    StartsWith,
    NotStartsWith,
    EndsWith,
    NotEndsWith,
}

/// Parses `query`; an empty one means every row of `resources`.
pub(super) fn parse(query: &str) -> Result<Query, Unreadable> {
    let words = words(query)?;
    let lines = query.lines().count().max(1);
    let last = query.lines().last().map_or(0, str::len);
    let mut parser = Parser { words, next: 0, end: (lines, last), depth: 0 };
    parser.query()
}

struct Parser {
    words: Vec<Placed>,
    next: usize,
    /// Where the query ends, for faults there.
    end: (usize, usize),
    /// How many expressions stand around the next word.
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.words.get(self.next).map(|it| &it.token)
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Some(Token::Sign(found)) if *found == sign)
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let found = self.is_sign(sign);
        if found {
            self.next += 1;
        }
        found
    }

    fn expect_sign(&mut self, sign: &str) -> Result<(), Unreadable> {
        if self.take_sign(sign) { Ok(()) } else { Err(self.fault(sign)) }
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Name(found)) if found.eq_ignore_ascii_case(word))
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.next += 1;
        }
        found
    }

    fn name(&mut self) -> Result<String, Unreadable> {
        match self.peek() {
            Some(Token::Name(name)) => {
                let name = name.clone();
                self.next += 1;
                Ok(name)
            }
            _ => Err(self.fault("a name")),
        }
    }

    fn number(&mut self) -> Result<usize, Unreadable> {
        match self.peek() {
            Some(Token::Number(number)) => {
                let number = usize::try_from(*number).unwrap_or(usize::MAX);
                self.next += 1;
                Ok(number)
            }
            _ => Err(self.fault("a number")),
        }
    }

    fn fault(&self, expected: &str) -> Unreadable {
        let expected = expected.to_owned();
        match self.words.get(self.next) {
            Some(word) => Unreadable {
                line: word.line,
                column: word.column,
                token: match &word.token {
                    Token::Name(text) | Token::Text(text) => text.clone(),
                    Token::Number(number) => number.to_string(),
                    Token::Sign(sign) => (*sign).to_owned(),
                },
                expected,
            },
            None => Unreadable {
                line: self.end.0,
                column: self.end.1,
                token: "<EOF>".to_owned(),
                expected,
            },
        }
    }

    fn query(&mut self) -> Result<Query, Unreadable> {
        let table = match self.peek() {
            None => "resources".to_owned(),
            Some(_) => self.name()?.to_ascii_lowercase(),
        };
        let mut steps = Vec::new();
        while self.take_sign("|") {
            steps.push(self.step()?);
        }
        if self.peek().is_some() {
            return Err(self.fault("|"));
        }
        Ok(Query { table, steps })
    }

    fn step(&mut self) -> Result<Step, Unreadable> {
        let fault = self.fault(
            "one of where, extend, project, project-away, order by, sort by, take, limit, top, \
             count, summarize, distinct",
        );
        match self.name()?.to_ascii_lowercase().as_str() {
            "where" => Ok(Step::Where(self.expression()?)),
            "extend" => Ok(Step::Extend(self.named_list()?)),
            "project" => Ok(Step::Project(self.named_list()?)),
            "project-away" => {
                let mut names = vec![self.name()?];
                while self.take_sign(",") {
                    names.push(self.name()?);
                }
                Ok(Step::ProjectAway(names))
            }
            "order" | "sort" => {
                if !self.take_word("by") {
                    return Err(self.fault("by"));
                }
                Ok(Step::Order(self.orders()?))
            }
            "take" | "limit" => Ok(Step::Take(self.number()?)),
            "count" => Ok(Step::Count),
            "summarize" => self.summarize(),
            "distinct" => Ok(Step::Distinct(self.named_list()?)),
            "top" => {
                let most = self.number()?;
                if !self.take_word("by") {
                    return Err(self.fault("by"));
                }
                Ok(Step::Top(most, self.orders()?))
            }
            _ => Err(fault),
        }
    }

    fn orders(&mut self) -> Result<Vec<(Expression, Order)>, Unreadable> {
        let mut orders = Vec::new();
        loop {
            let expression = self.expression()?;
            // Without a word the order is descending.
            let order = if self.take_word("asc") {
                Order::Ascending
            } else {
                self.take_word("desc");
                Order::Descending
            };
            if self.take_word("nulls") {
                self.name()?;
            }
            orders.push((expression, order));
            if !self.take_sign(",") {
                return Ok(orders);
            }
        }
    }

    fn summarize(&mut self) -> Result<Step, Unreadable> {
        let mut count = "count_".to_owned();
        let named = matches!(
            (self.words.get(self.next), self.words.get(self.next + 1)),
            (
                Some(Placed { token: Token::Name(_), .. }),
                Some(Placed { token: Token::Sign("="), .. })
            )
        );
        if named {
            count = self.name()?;
            self.expect_sign("=")?;
        }
        if !self.take_word("count") {
            return Err(self.fault("count()"));
        }
        self.expect_sign("(")?;
        self.expect_sign(")")?;
        let by = if self.take_word("by") { self.named_list()? } else { Vec::new() };
        Ok(Step::Summarize { count, by })
    }

    /// `a, b = expression, c.d`: an expression without a name has that of its last member, as
    /// Kusto joins them: `c_d`.
    fn named_list(&mut self) -> Result<Vec<(String, Expression)>, Unreadable> {
        let mut list = Vec::new();
        loop {
            let named = matches!(
                (self.words.get(self.next), self.words.get(self.next + 1)),
                (
                    Some(Placed { token: Token::Name(_), .. }),
                    Some(Placed { token: Token::Sign("="), .. })
                )
            );
            if named {
                let name = self.name()?;
                self.expect_sign("=")?;
                list.push((name, self.expression()?));
            } else {
                let expression = self.expression()?;
                list.push((own_name(&expression, list.len()), expression));
            }
            if !self.take_sign(",") {
                return Ok(list);
            }
        }
    }

    fn expression(&mut self) -> Result<Expression, Unreadable> {
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err(self.fault("less depth"));
        }
        let mut all = vec![self.conjunction()?];
        while self.take_word("or") {
            all.push(self.conjunction()?);
        }
        self.depth -= 1;
        Ok(one_or(Expression::Any, all))
    }

    fn conjunction(&mut self) -> Result<Expression, Unreadable> {
        let mut all = vec![self.comparison()?];
        while self.take_word("and") {
            all.push(self.comparison()?);
        }
        Ok(one_or(Expression::All, all))
    }

    fn comparison(&mut self) -> Result<Expression, Unreadable> {
        let left = self.value()?;
        let Some(token) = self.peek().cloned() else { return Ok(left) };
        let word = match &token {
            Token::Sign(sign) => (*sign).to_owned(),
            Token::Name(name) => name.to_ascii_lowercase(),
            Token::Text(_) | Token::Number(_) => return Ok(left),
        };
        let operator = match word.as_str() {
            "==" => Operator::Equal,
            "!=" => Operator::NotEqual,
            "=~" => Operator::EqualFolded,
            "!~" => Operator::NotEqualFolded,
            "<" => Operator::Less,
            "<=" => Operator::LessOrEqual,
            ">" => Operator::Greater,
            ">=" => Operator::GreaterOrEqual,
            "contains" => Operator::Contains,
            "!contains" => Operator::NotContains,
            "has" => Operator::Has,
            "!has" => Operator::NotHas,
            "startswith" => Operator::StartsWith,
            "!startswith" => Operator::NotStartsWith,
            "endswith" => Operator::EndsWith,
            "!endswith" => Operator::NotEndsWith,
            "in" | "in~" | "!in" | "!in~" => {
                self.next += 1;
                return self.membership(left, word.ends_with('~'), word.starts_with('!'));
            }
            _ => return Ok(left),
        };
        self.next += 1;
        Ok(binary(operator, left, self.value()?))
    }

    fn membership(
        &mut self,
        value: Expression,
        folded: bool,
        negated: bool,
    ) -> Result<Expression, Unreadable> {
        self.expect_sign("(")?;
        let list = self.arguments()?;
        Ok(Expression::In { value: Box::new(value), list, folded, negated })
    }

    /// Expressions up to the closing bracket.
    fn arguments(&mut self) -> Result<Vec<Expression>, Unreadable> {
        let mut arguments = Vec::new();
        if self.take_sign(")") {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expression()?);
            if self.take_sign(")") {
                return Ok(arguments);
            }
            self.expect_sign(",")?;
        }
    }

    fn value(&mut self) -> Result<Expression, Unreadable> {
        let mut value = self.primary()?;
        for _ in 0..MOST_MEMBERS {
            if self.take_sign(".") {
                let member = Expression::Literal(json!(self.name()?));
                value = Expression::Member(Box::new(value), Box::new(member));
            } else if self.take_sign("[") {
                let member = self.expression()?;
                self.expect_sign("]")?;
                value = Expression::Member(Box::new(value), Box::new(member));
            } else {
                return Ok(value);
            }
        }
        Err(self.fault("fewer members of members"))
    }

    fn primary(&mut self) -> Result<Expression, Unreadable> {
        let Some(token) = self.peek().cloned() else { return Err(self.fault("a value")) };
        match token {
            Token::Text(text) => {
                self.next += 1;
                Ok(Expression::Literal(json!(text)))
            }
            Token::Number(number) => {
                self.next += 1;
                Ok(Expression::Literal(json!(number)))
            }
            Token::Sign("-") => {
                self.next += 1;
                let number = self.number()?;
                Ok(Expression::Literal(json!(-i64::try_from(number).unwrap_or(i64::MAX))))
            }
            Token::Sign("(") => {
                self.next += 1;
                let inside = self.expression()?;
                self.expect_sign(")")?;
                Ok(inside)
            }
            Token::Sign(_) => Err(self.fault("a value")),
            Token::Name(name) => {
                self.next += 1;
                if self.take_sign("(") {
                    let arguments = self.arguments()?;
                    if arguments.len() > MOST_ARGUMENTS {
                        return Err(self.fault("fewer arguments"));
                    }
                    return Ok(Expression::Call(name.to_ascii_lowercase(), arguments));
                }
                Ok(match name.as_str() {
                    "true" => Expression::Literal(json!(true)),
                    "false" => Expression::Literal(json!(false)),
                    "null" => Expression::Literal(Value::Null),
                    _ => Expression::Column(name),
                })
            }
        }
    }
}

fn binary(operator: Operator, left: Expression, right: Expression) -> Expression {
    Expression::Binary(operator, Box::new(left), Box::new(right))
}

fn one_or(several: fn(Vec<Expression>) -> Expression, mut all: Vec<Expression>) -> Expression {
    match all.pop() {
        Some(only) if all.is_empty() => only,
        last => {
            all.extend(last);
            several(all)
        }
    }
}

fn own_name(expression: &Expression, index: usize) -> String {
    match expression {
        Expression::Column(name) => name.clone(),
        Expression::Member(value, member) => {
            let Expression::Literal(Value::String(member)) = member.as_ref() else {
                return format!("Column{}", index + 1);
            };
            format!("{}_{member}", own_name(value, index))
        }
        Expression::Call(_, arguments) if arguments.len() == 1 => own_name(&arguments[0], index),
        _ => format!("Column{}", index + 1),
    }
}
