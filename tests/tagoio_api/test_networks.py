"""The routes shared by all kinds of resources, tested on the simplest kind."""

from tests.tagoio_api.conftest import Api

PATH = "/integration/network/"


def test_a_network_is_created_read_edited_and_deleted(api: Api) -> None:
    tags = [{"key": "export_id", "value": "7"}]
    made = api.post(PATH, {"name": "LoRa", "tags": tags, "description": "868 MHz"})["network"]

    shown = api.get(f"{PATH}{made}")
    assert (shown["id"], shown["name"], shown["tags"]) == (made, "LoRa", tags)
    assert shown["description"] == "868 MHz"
    assert shown["created_at"].endswith("Z")

    assert api.put(f"{PATH}{made}", {"name": "LoRaWAN", "icon": "x"}) == "Successfully Updated"
    shown = api.get(f"{PATH}{made}")
    assert (shown["name"], shown["description"], shown["icon"]) == ("LoRaWAN", "868 MHz", "x")

    assert api.delete(f"{PATH}{made}") == "Successfully Removed"
    assert api.call("GET", f"{PATH}{made}") == (404, "Network Not Found")
    assert api.call("PUT", f"{PATH}{made}", {"name": "x"}) == (404, "Network Not Found")
    assert api.call("DELETE", f"{PATH}{made}") == (404, "Network Not Found")


def test_a_list_has_pages_fields_filters_and_an_order(api: Api) -> None:
    for number in range(5):
        tags = [{"key": "number", "value": str(number)}, {"key": "all", "value": "yes"}]
        api.post(PATH, {"name": f"Net {number}", "tags": tags, "icon": f"net-{number}"})

    def listed(query: str) -> list[str]:
        return [row["name"] for row in api.get(f"{PATH}?filter[public]=1&{query}")]

    assert listed("amount=2&page=2") == ["Net 2", "Net 3"]
    assert listed("amount=2&page=9") == []
    assert listed("orderBy=name,desc&amount=1") == ["Net 4"]
    assert listed("filter[name]=net 3") == ["Net 3"]
    assert listed("filter[name]=et 3") == []
    assert listed("filter[name]=*T%204*") == ["Net 4"]
    assert listed("filter[tags][1][key]=number&filter[tags][1][value]=2") == ["Net 2"]
    assert len(listed("filter[tags][0][key]=all&filter[tags][3][key]=number")) == 5
    assert set(api.get(f"{PATH}?filter[public]=1&amount=1&fields=icon")[0]) == {
        "id",
        "tags",
        "icon",
    }
    assert set(
        api.get(f"{PATH}?filter[public]=1&amount=1&fields[0]=created_at&fields[1]=nothing")[0]
    ) == {*("id", "tags", "created_at")}
