// A tile on Airflow's Home page: how many integrations need somebody.
import { Box, HStack, Text } from "@chakra-ui/react";
import { type Need as Needed, useApi } from "./api";
import { LIST, Link } from "./host";
import { NEEDS, Status, count } from "./words";

export function Need() {
  const { data, error } = useApi<Needed>("/need", 10_000);
  return (
    <Box className="etl-view" borderWidth="1px" borderRadius="md" px={3} py={2} my={2} fontSize="sm" color="fg" minH="44px">
      <HStack gap={3} wrap="wrap">
        <Text fontWeight="semibold">
          {data ? data.needs_somebody ? `${count(data.needs_somebody)} of ${count(data.total)} integrations need somebody`
            : `Nobody is needed: ${count(data.total)} integrations` : error ?? "Integrations"}
        </Text>
        {data && NEEDS.filter((status) => data.statuses[status]).map((status) => (
          <HStack key={status} gap={1}><Status status={status} words={data.words} /><span>{count(data.statuses[status])}</span></HStack>
        ))}
        <Link to={data?.needs_somebody ? `${LIST}?status=needs_somebody` : LIST}>Show them</Link>
      </HStack>
    </Box>
  );
}
