"""The samples are valid documents with the field of each operation."""

from restwell import App
from restwell.graphql import GraphQLServer


def test_each_operation_has_a_valid_sample(unstarted: App) -> None:
    """Fails if a required argument is missing, or if the path to a relation is not found."""
    server = unstarted.service(GraphQLServer)
    texts = {each.name: server.sample(each)["query"] for each in server.operations}
    for name, text in texts.items():
        assert [each.name for each in server.documents.find(text, None).plan(None).operations] == [name] or "." in name
        server.documents.check(text)
    assert texts["books"] == "{ books { __typename } }"
    assert texts["addReview"] == 'mutation { addReview(input: {text: "text"}) { __typename } }'
    assert texts["Book.reader"] == "{ book(bookId: 1) { reader } }"
