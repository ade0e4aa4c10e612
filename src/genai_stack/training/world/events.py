"""Records of matches, concerts, meetings and courses."""

from __future__ import annotations

from .kinds import Aspect, Kind, Subject, among, called, day, number
from .names import Draw
from .people import HOBBIES

SPORTS = "football tennis hockey basketball rugby volleyball handball cricket".split()
MUSIC = "jazz|rock|folk songs|piano music|guitar music|old songs|dance music|film music".split("|")
SUBJECTS = (
    "prices|safety|hiring|travel|the budget|the website|the holidays|the new office|the summer sale".split("|")
)

_DATE = (
    "{S} is on {v}.", "The date of {s} is {v}.", "{S} takes place on {v}.", "{S} will be on {v}.",
    "Come to {s} on {v}.", "On {v} there is {s}.",
)  # fmt: skip
_DATED = (
    "On which day is {s}?", "What is the date of {s}?", "On which day does {s} take place?", "What date is {s} on?",
    "On what day is {s}?", "On which date is {s}?",
)  # fmt: skip
_START = (
    "{S} starts at {v}.", "{S} begins at {v}.", "The start of {s} is at {v}.", "The doors open for {s} at {v}.",
    "Be at {s} at {v}.", "At {v} {s} begins.",
)  # fmt: skip
_STARTED = (
    "At what time does {s} start?", "What is the start time of {s}?", "At what time does {s} begin?",
    "What time does {s} start?", "At what hour does {s} start?", "What time does {s} begin?",
)  # fmt: skip
_PLACED = (
    "Where is {s}?", "Where does {s} take place?", "In which city is {s}?", "In which place is {s}?",
    "Which city is the place of {s}?", "In which city does {s} take place?",
)  # fmt: skip
_PLACE = (
    "{S} is in {v}.", "{S} takes place in {v}.", "The place of {s} is {v}.", "{S} will be held in {v}.",
    "People go to {v} for {s}.", "People meet in {v} for {s}.",
)  # fmt: skip


def _team(draw: Draw) -> Subject:
    name = draw.place()
    return Subject(name, name)


MATCH = Kind(
    "match", "sport", _team, ("team", "winner"),
    ("Which team is the text about?", "Which team won?", "Who won the match?", "What is the team called that won?",
     "Which team is this about?", "Which team won the match?"),
    (
        Aspect(("loser", "opponent"), Draw.place,
               ("{S} beat {v}.", "{S} won against {v}.", "{v} lost against {s}.", "{S} won the match against {v}.",
                "The team of {s} beat {v}.", "The team of {s} won against {v}."),
               ("Who lost against {s}?", "Which team did {s} beat?", "Against whom did {s} win?",
                "Which team lost against {s}?", "Who did {s} beat?", "Against which team did {s} win?"),
               "the team that lost against {s}", "beat {v}",
               ("Who beat {v}?", "Which team beat {v}?", "Who won against {v}?", "Which team won against {v}?",
                "Against whom did {v} lose?", "Against which team did {v} lose?")),
        Aspect(("sport",), among(SPORTS),
               ("{S} won at {v}.", "The sport of {s} is {v}.", "{S} won a match of {v}.", "{S} plays {v}.",
                "The team of {s} plays {v}.", "The team of {s} won at {v}."),
               ("What does {s} play?", "Which sport does {s} play?", "What sport does {s} play?",
                "What is the sport of {s}?", "At which sport did {s} win?", "At what sport did {s} win?"),
               "the sport of {s}", "won at {v}",
               ("Which team plays {v}?", "Who plays {v}?", "Which team won at {v}?", "Who won at {v}?",
                "Whose sport is {v}?", "Which of the teams plays {v}?")),
        Aspect(("score",), lambda d: f"{d.number(3, 9)} to {d.number(0, 2)}",
               ("{S} won with {v}.", "The score of {s} was {v}.", "{S} won by {v}.", "The match of {s} ended {v}.",
                "{S} won the match with a score of {v}.", "{S} ended the match with {v}."),
               ("What was the score of {s}?", "How did the match of {s} end?", "With which score did {s} win?",
                "By how much did {s} win?", "What score did {s} have?", "With what score did {s} win?"),
               "the score of {s}", "won by {v}",
               ("Which team won by {v}?", "Who won by {v}?", "Which team had a score of {v}?",
                "Which match ended {v}?", "Who had a score of {v}?", "Which of the teams won by {v}?")),
        Aspect(("player",), Draw.person,
               ("The best player of {s} was {v}.", "{v} was the best player of {s}.", "{v} scored for {s}.",
                "{S} has a good player, {v}.", "{v} played well for {s}.", "{v} was the star of {s}."),
               ("Who was the best player of {s}?", "Which player of {s} was the best?", "Who scored for {s}?",
                "Who played well for {s}?", "What is the best player of {s} called?", "Who was the star of {s}?"),
               "the best player of {s}", "has {v} as the best player",
               ("For which team did {v} play?", "For which team did {v} score?", "Who does {v} play for?",
                "Which team does {v} play for?", "Of which team was {v} the best player?",
                "Of which team was {v} the star?")),
        Aspect(("fans", "visitors"), number(2, 90, 100),
               ("{v} fans of {s} came.", "{v} people watched {s}.", "{S} played for {v} fans.",
               "{S} won before {v} people.",
                "The match of {s} was seen by {v} people.", "{v} people saw {s} win."),
               ("How many people watched {s}?", "How many fans of {s} came?", "How many people saw {s}?",
                "How many people saw the match of {s}?", "For how many fans did {s} play?",
                "How many people watched the match of {s}?"),
               "the number of fans of {s}", "played for {v} fans",
               ("Which team played for {v} fans?", "Which team did {v} people watch?", "Who played for {v} fans?",
                "Which team was seen by {v} people?", "Who was seen by {v} people?",
                "Which team won before {v} people?")),
        Aspect(("trainer", "coach"), Draw.person,
               ("The trainer of {s} is {v}.", "{v} trains {s}.", "{v} is the trainer of {s}.",
               "{S} is trained by {v}.",
                "The coach of {s} is {v}.", "{v} is the coach of {s}."),
               ("Who trains {s}?", "Who is the trainer of {s}?", "What is the trainer of {s} called?",
                "Who is the coach of {s}?", "By whom is {s} trained?", "What is the coach of {s} called?"),
               "the trainer of {s}", "is trained by {v}",
               ("Which team does {v} train?", "Who does {v} train?", "Which team is trained by {v}?",
                "Of which team is {v} the trainer?", "Who is trained by {v}?", "Of which team is {v} the coach?")),
    ),
)  # fmt: skip

CONCERT = Kind(
    "concert", "music", called(lambda d: "the " + d.named("Concert", "Festival")), ("concert", "event"),
    ("What is the concert called?", "Which concert is the text about?", "What is the name of the concert?",
     "Which concert is this about?", "Which event is the text about?", "Which event is this about?"),
    (
        Aspect(("date", "day"), day, _DATE, _DATED, "the date of {s}", "is on {v}"),
        Aspect(("time", "start"), Draw.time, _START, _STARTED, "the start of {s}", "starts at {v}"),
        Aspect(("city", "place"), Draw.place, _PLACE, _PLACED, "the place of {s}", "takes place in {v}"),
        Aspect(("singer", "band"), Draw.person,
               ("{v} sings at {s}.", "The singer at {s} is {v}.", "{v} will sing at {s}.", "You can hear {v} at {s}.",
                "{S} has a star singer, {v}.", "People come to {s} to hear {v}."),
               ("Who sings at {s}?", "Who is the singer at {s}?", "Which singer is at {s}?",
               "Who can you hear at {s}?",
                "Who will sing at {s}?", "Which singer can you hear at {s}?"),
               "the singer at {s}", "has {v} as singer",
               ("Where does {v} sing?", "At which concert does {v} sing?", "Where can you hear {v}?",
                "At which event does {v} sing?", "At which concert can you hear {v}?",
                "At which event can you hear {v}?")),
        Aspect(("music",), among(MUSIC),
               ("The music at {s} is {v}.", "{S} is about {v}.", "You will hear {v} at {s}.",
               "The band at {s} plays {v}.",
                "{S} brings {v}.", "At {s} you will hear {v}."),
               ("What music is there at {s}?", "Which music is played at {s}?", "What will you hear at {s}?",
                "What does the band at {s} play?", "What music does {s} bring?", "Which music will you hear at {s}?"),
               "the music at {s}", "brings {v}"),
        Aspect(("ticket", "price"), Draw.money,
               ("A ticket for {s} costs {v}.", "Tickets for {s} cost {v}.", "The ticket price of {s} is {v}.",
                "You pay {v} for a ticket for {s}.", "{S} costs {v} a ticket.",
                "You can buy a ticket for {s} for {v}."),
               ("How much is a ticket for {s}?", "What does a ticket for {s} cost?",
               "How much do tickets for {s} cost?",
                "What is the ticket price of {s}?", "How much does a ticket for {s} cost?",
                "What do tickets for {s} cost?"),
               "the ticket price of {s}", "costs {v} a ticket"),
    ),
)  # fmt: skip

MEETING = Kind(
    "meeting", "business", called(lambda d: "the meeting about " + d.one(SUBJECTS)), ("meeting",),
    ("Which meeting is the text about?", "What is planned?", "Which meeting is this about?", "Which meeting is it?",
     "Which meeting is planned?", "Which meeting does the text tell of?"),
    (
        Aspect(("leader", "host"), Draw.person,
               ("{v} leads {s}.", "{S} is led by {v}.", "The leader of {s} is {v}.", "{v} will lead {s}.",
                "{v} opens {s}.", "{v} is the leader of {s}."),
               ("Who leads {s}?", "Who is the leader of {s}?", "Who will lead {s}?", "By whom is {s} led?",
                "Which person leads {s}?", "Which person will lead {s}?"),
               "the leader of {s}", "is led by {v}",
               ("Which meeting does {v} lead?", "What does {v} lead?", "Which meeting is led by {v}?",
                "Which meeting will {v} lead?", "What will {v} lead?", "Of which meeting is {v} the leader?")),
        Aspect(("date", "day"), day, _DATE, _DATED, "the date of {s}", "is on {v}"),
        Aspect(("time", "start"), Draw.time, _START, _STARTED, "the start of {s}", "starts at {v}"),
        Aspect(("city", "place"), Draw.place, _PLACE, _PLACED, "the place of {s}", "takes place in {v}"),
        Aspect(("company",), Draw.company,
               ("{v} plans {s}.", "{S} is planned by {v}.", "{S} is for the staff of {v}.", "{v} holds {s}.",
                "The staff of {v} come to {s}.", "The workers of {v} come to {s}."),
               ("Which company plans {s}?", "Who plans {s}?", "Which company holds {s}?", "Who holds {s}?",
                "By whom is {s} planned?", "By which company is {s} planned?"),
               "the company that plans {s}", "is planned by {v}"),
        Aspect(("guests", "people"), number(3, 60),
               ("{v} people come to {s}.", "{S} is for {v} people.", "There are {v} guests at {s}.",
                "{v} guests are invited to {s}.", "{S} has {v} guests.", "{S} is planned for {v} people."),
               ("How many people come to {s}?", "For how many people is {s}?", "How many guests does {s} have?",
                "How many guests are invited to {s}?", "How many guests are there at {s}?",
                "How many guests come to {s}?"),
               "the number of guests at {s}", "has {v} guests"),
    ),
)  # fmt: skip


def _course(draw: Draw) -> Subject:
    name = f"the {draw.one(HOBBIES)} course"
    return Subject(name, name, "It")


COURSE = Kind(
    "course", "school", _course, ("course",),
    ("Which course is the text about?", "Which course is this about?", "Which course can you take?",
    "Which course is it?",
     "Which course is offered?", "Which course does the text tell of?"),
    (
        Aspect(("teacher",), Draw.person,
               ("{v} teaches {s}.", "The teacher of {s} is {v}.", "{S} is taught by {v}.",
               "{v} is the teacher of {s}.",
                "You learn from {v} at {s}.", "Pupils learn from {v} at {s}."),
               ("Who teaches {s}?", "Who is the teacher of {s}?", "What is the teacher of {s} called?",
                "By whom is {s} taught?", "Which teacher gives {s}?", "Which person teaches {s}?"),
               "the teacher of {s}", "is taught by {v}",
               ("What does {v} teach?", "Which course does {v} teach?", "Which course is taught by {v}?",
                "Of which course is {v} the teacher?", "Which course does {v} give?", "What does {v} give?")),
        Aspect(("school",), lambda d: d.named("School", "College", "Academy"),
               ("{S} is held at the {v}.", "The {v} offers {s}.", "{S} is part of the {v}.",
               "You can take {s} at the {v}.",
                "The pupils of the {v} go to {s}.", "The pupils of the {v} take {s}."),
               ("Which school offers {s}?", "At which school is {s}?", "What school offers {s}?",
                "At which school can you take {s}?", "Where can you take {s}?", "At what school is {s}?"),
               "the school of {s}", "is held at the {v}",
               ("What does the {v} offer?", "Which course does the {v} offer?", "Which course is at the {v}?",
                "What can you take at the {v}?", "Which course can you take at the {v}?",
                "Which course is held at the {v}?")),
        Aspect(("pupils", "students"), number(5, 60),
               ("{S} has {v} pupils.", "{v} pupils take {s}.", "{v} pupils come to {s}.",
               "There are {v} pupils in {s}.",
                "{S} is full with {v} pupils.", "In {s} there are {v} pupils."),
               ("How many pupils does {s} have?", "How many pupils take {s}?", "How many pupils come to {s}?",
                "How many pupils are there in {s}?", "How many pupils go to {s}?", "How many pupils are in {s}?"),
               "the number of pupils of {s}", "has {v} pupils",
               ("Which course has {v} pupils?", "Which course do {v} pupils take?", "What do {v} pupils take?",
                "Which of the courses has {v} pupils?", "To which course do {v} pupils come?",
                "To which course do {v} pupils go?")),
        Aspect(("fee", "price"), Draw.money,
               ("{S} costs {v}.", "The fee for {s} is {v}.", "Pupils pay {v} for {s}.", "You pay {v} for {s}.",
                "You can take {s} for {v}.", "The fee of {s} is {v}."),
               ("How much does {s} cost?", "What is the fee for {s}?", "What does {s} cost?", "How much is {s}?",
                "How much do pupils pay for {s}?", "What do pupils pay for {s}?"),
               "the fee for {s}", "costs {v}",
               ("Which course costs {v}?", "What costs {v}?", "Which of the courses costs {v}?",
                "For which course do pupils pay {v}?", "Which course can you take for {v}?",
                "For what do pupils pay {v}?")),
        Aspect(("time", "start"), Draw.time, _START, _STARTED, "the start of {s}", "starts at {v}"),
        Aspect(("weeks",), number(2, 40),
               ("{S} lasts {v} weeks.", "{S} takes {v} weeks.", "{S} goes on for {v} weeks.",
               "{S} is over after {v} weeks.",
                "The end of {s} comes after {v} weeks.", "Pupils finish {s} after {v} weeks."),
               ("How many weeks does {s} last?", "How long does {s} last?", "How many weeks does {s} take?",
                "For how many weeks does {s} go on?", "How long does {s} take?", "After how many weeks is {s} over?"),
               "the number of weeks of {s}", "lasts {v} weeks",
               ("Which course lasts {v} weeks?", "Which course takes {v} weeks?", "What lasts {v} weeks?",
                "Which course is over after {v} weeks?", "Which of the courses lasts {v} weeks?",
                "Which of the courses takes {v} weeks?")),
    ),
)  # fmt: skip
